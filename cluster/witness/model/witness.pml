/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The witness of cluster/witness/arbiter.c for the model checker spin: is its vote ever counted at
 * two partitions? README.md tells what is left out, why that hides nothing, and how it is run.
 *
 * Two nodes, each with two blocks that it writes in turn, and time in ticks. Each line of node()
 * that begins with `::` may come next, for either node, and between any two of them any number of
 * ticks may go by.
 *
 * Settings: -DV= -DT=, in ticks; what is broken on purpose: WITHOUT_... and WITH_... below.
 */
#ifndef V
#define V 1 /* for so long a vote is good */
#endif
#ifndef T
#define T 1 /* for so long corosync counts what was cast */
#endif
#ifndef E
#define E (V + T) /* who was silent for so long is gone */
#endif
#define NONE (V + 1)

#define OTHER(me) (1 - me)
#define NEXT(node) (2 * (node))     /* the block that it writes next */
#define LAST(node) (2 * (node) + 1) /* the block that it wrote last */
#define MORE(x, most) x = (x < most -> x + 1 : most)
#define LESS(x) x = (x > 0 -> x - 1 : 0)

/* ---- the region ---- */

bool hard[4];   /* the block says that its node claims or holds, for the partition that it is in */
byte silent[4]; /* ticks since it was written */

/* Of a node: the write that may land late, whatever was written meanwhile. */
byte late[2];
byte late_age[2]; /* ticks since it was begun */
#define LATE(last, is_hard) (1 + (last) + 2 * (is_hard))
#define IS_LAST(kind) ((kind - 1) % 2 == 1)
#define IS_HARD(kind) ((kind - 1) % 4 > 1)
#define OVER 4 /* added when something newer is in its block */

/* ---- the nodes ---- */

bool together = true; /* in one partition */
byte at[2];           /* where its cycle is */
bool rival[2];        /* the cycle has found the other one claiming or holding */
byte began[2];        /* ticks since the cycle began */
byte pair[2];         /* ticks since the one before it began, when that is good and claims; or NONE */
byte vote[2];         /* ticks for which corosync may still count the vote */
#ifdef WITH_STALL
bool stalled[2]; /* it has looked at the clock, and has yet to cast */
#endif

#define BETWEEN 0 /* cycles */
#define WROTE 1
#define READ_NEXT 2
#define READ_LAST 3

#define HOLDS(me) (vote[me] >= T)
#define IS_GONE(node) (silent[NEXT(node)] >= E && silent[LAST(node)] >= E)

inline check()
{
	assert(together || vote[0] == 0 || vote[1] == 0)
}

inline end(me)
{
	at[me] = BETWEEN;
	rival[me] = false;
	began[me] = 0
}

inline fail(me)
{
	end(me);
	pair[me] = NONE
}

/* Corosync has taken that there is no vote before a block says so. */
inline take_back(me)
{
#ifndef WITHOUT_TAKING_BACK
	vote[me] = 0
#else
	skip
#endif
}

inline land(me, is_hard)
{
	late[me] = (late[me] == LATE(0, 0) || late[me] == LATE(0, 1) -> late[me] + OVER : late[me]);
	hard[NEXT(me)] = is_hard;
	silent[NEXT(me)] = 0
}

/* What is written now may land late: for the first time (OVER), or for the second. */
inline put_off(me, is_hard, over)
{
	late[me] = LATE(0, is_hard) + over;
	late_age[me] = 0
}

/* The other block comes next. */
inline turn(me)
{
	hard[NEXT(me)] = hard[NEXT(me)] ^ hard[LAST(me)];
	hard[LAST(me)] = hard[NEXT(me)] ^ hard[LAST(me)];
	hard[NEXT(me)] = hard[NEXT(me)] ^ hard[LAST(me)];
	silent[NEXT(me)] = silent[NEXT(me)] + 16 * silent[LAST(me)];
	silent[LAST(me)] = silent[NEXT(me)] % 16;
	silent[NEXT(me)] = silent[NEXT(me)] / 16;
	late[me] = (late[me] == 0 -> 0 : (IS_LAST(late[me]) -> late[me] - 1 : late[me] + 1));
	at[OTHER(me)] = (at[OTHER(me)] == READ_NEXT -> READ_LAST :
		(at[OTHER(me)] == READ_LAST -> READ_NEXT : at[OTHER(me)]))
}

/* Who had seen it takes the block for one that has not changed since. */
inline land_late(me)
{
	if
	:: late[me] > OVER ->
		hard[2 * me + (IS_LAST(late[me]) -> 1 : 0)] = IS_HARD(late[me]);
		silent[2 * me + (IS_LAST(late[me]) -> 1 : 0)] = late_age[me]
	:: else
	fi;
	late[me] = 0;
	late_age[me] = 0
}

inline look(me, block)
{
#ifndef WITHOUT_READING
	rival[me] = rival[me] || (hard[block] && !together && !IS_GONE(OTHER(me)))
#else
	skip
#endif
}

/* Who has the vote does not mind a rival. It is good for V from the beginning of the cycle before
 * this one. */
inline decide(me, enters)
{
	if
#ifdef WITHOUT_PAIRS
	:: (HOLDS(me) || (enters && !rival[me])) && began[me] <= V -> vote[me] = E - began[me]; check()
#else
#ifdef WITHOUT_PAIRS_OF_TIME
	:: (HOLDS(me) || (enters && !rival[me])) && pair[me] <= V -> vote[me] = E - began[me]; check()
#else
	:: (HOLDS(me) || (enters && !rival[me])) && pair[me] <= V -> vote[me] = V + T - pair[me]; check()
#endif
#endif
	:: else
	fi;
	pair[me] = began[me];
	end(me)
}

/* To another partition, where the other node is or is not. Corosync does not count a vote of the
 * old one there. What the node has written of the old one keeps nobody away any more. */
inline move(me, to_other)
{
	together = to_other;
	vote[me] = 0;
	hard[NEXT(me)] = false;
	hard[LAST(me)] = false;
	late[me] = (late[me] > 0 && IS_HARD(late[me]) -> late[me] - 2 : late[me]);
#ifdef WITH_STALL
	stalled[me] = false;
#endif
	fail(me)
}

proctype node(bit me)
{
	do
	/* Claims, or holds. */
	:: d_step { at[me] == BETWEEN -> land(me, true); turn(me); at[me] = WROTE }
	:: d_step { at[me] == BETWEEN && late[me] == 0 -> land(me, true); put_off(me, true, 0);
		turn(me); at[me] = WROTE }
	/* Is idle. */
	:: d_step { at[me] == BETWEEN -> take_back(me); land(me, false); turn(me); fail(me) }
	:: d_step { at[me] == BETWEEN && late[me] == 0 -> take_back(me); land(me, false);
		put_off(me, false, 0); turn(me); fail(me) }
	/* A write that fails is lost, or lands late. */
	:: d_step { at[me] == BETWEEN -> turn(me); fail(me) }
	:: d_step { at[me] == BETWEEN && late[me] == 0 -> put_off(me, true, OVER); turn(me); fail(me) }
	:: d_step { at[me] == BETWEEN && late[me] == 0 -> take_back(me); put_off(me, false, OVER);
		turn(me); fail(me) }
#ifdef WITH_LOSS
	:: d_step { at[me] == BETWEEN -> turn(me); at[me] = WROTE } /* and nobody tells */
#endif
	:: d_step { late[me] > 0 -> land_late(me) }
	/* The first claim: what is read tells nothing. */
	:: d_step { at[me] == WROTE && pair[me] == NONE -> pair[me] = began[me]; end(me) }
	/* Reads, in any order, and decides. */
	:: d_step { at[me] == WROTE && pair[me] != NONE -> look(me, NEXT(OTHER(me)));
		at[me] = READ_NEXT }
	:: d_step { at[me] == WROTE && pair[me] != NONE -> look(me, LAST(OTHER(me)));
		at[me] = READ_LAST }
	:: d_step { at[me] == READ_NEXT -> look(me, LAST(OTHER(me))); decide(me, true) }
	:: d_step { at[me] == READ_NEXT -> look(me, LAST(OTHER(me))); decide(me, false) }
	:: d_step { at[me] == READ_LAST -> look(me, NEXT(OTHER(me))); decide(me, true) }
	:: d_step { at[me] == READ_LAST -> look(me, NEXT(OTHER(me))); decide(me, false) }
	:: d_step { at[me] != BETWEEN -> fail(me) }
	:: d_step { true -> move(me, true) }
	:: d_step { true -> move(me, false) }
#ifdef WITH_STALL
	:: d_step { HOLDS(me) && !stalled[me] -> stalled[me] = true }
	:: d_step { stalled[me] -> stalled[me] = false; vote[me] = T; check() }
#endif
	od
}

inline tick(me)
{
	MORE(silent[NEXT(me)], E);
	MORE(silent[LAST(me)], E);
	late_age[me] = (late[me] == 0 -> 0 : (late_age[me] < E -> late_age[me] + 1 : E));
	began[me] = (at[me] == BETWEEN -> 0 : (began[me] < NONE -> began[me] + 1 : NONE));
	MORE(pair[me], NONE);
	LESS(vote[me]);
	if
	:: pair[me] == NONE && at[me] > WROTE -> at[me] = WROTE; rival[me] = false
	:: else
	fi
}

active proctype time()
{
	do
	:: d_step { true -> tick(0); tick(1) }
	od
}

init
{
	atomic {
		pair[0] = NONE;
		pair[1] = NONE;
		silent[0] = E;
		silent[1] = E;
		silent[2] = E;
		silent[3] = E;
		run node(0);
		run node(1)
	}
}
