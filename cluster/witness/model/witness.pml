/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The witness of cluster/witness/arbiter.c for the model checker spin: is its vote ever counted at
 * two partitions? README.md tells what is left out, why that hides nothing, and how it is run.
 *
 * Two nodes, each with two blocks that it writes in turn, and time in ticks. Each line of node()
 * that begins with `::` may come next, for either node, and between any two of them any number of
 * ticks may go by.
 *
 * Settings: -DV= -DT=, in ticks; -DBOTH_LATE; what is broken on purpose: WITHOUT_... and WITH_... below.
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

/* ---- the region ---- */

bool hard[4];   /* the block says that its node claims or holds, for the partition that it is in */
byte silent[4]; /* ticks since it was written; E when it is not hard */

/* Of a node: the write that is to land late, over whatever was written meanwhile, and its ticks. One
 * at a time: what was written while one was under way will not be another. */
byte late[2];
byte late_age[2];
bool again[4]; /* what is in the block may land once more */
#define LATE(is_hard) (1 + 2 * (is_hard)) /* in NEXT; + 1: in LAST */
#define IN_LAST(kind) ((kind - 1) % 2)
#define IS_HARD(kind) (kind > 2)
#ifdef BOTH_LATE
#define MAY_BE_LATE(me) (late[me] == 0)
#else
#define MAY_BE_LATE(me) (me == 0 && late[me] == 0)
#endif

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

/* Corosync has taken that there is no vote before a block says so. */
inline take_back(me)
{
#ifndef WITHOUT_TAKING_BACK
	vote[me] = 0
#else
	skip
#endif
}

inline put(block, is_hard, age)
{
	hard[block] = is_hard;
	silent[block] = (is_hard -> age : E)
}

inline put_off(me, is_hard, age)
{
	late[me] = LATE(is_hard);
	late_age[me] = (is_hard -> age : 0);
	again[NEXT(me)] = false;
	again[LAST(me)] = false
}

inline land(me, is_hard)
{
	put(NEXT(me), is_hard, 0);
	again[NEXT(me)] = MAY_BE_LATE(me)
}

/* What is in the block comes back, some time after it is written over. */
inline land_before(me, is_hard)
{
	put_off(me, hard[NEXT(me)], silent[NEXT(me)]);
	land(me, is_hard)
}

/* The other block comes next. */
inline turn(me)
{
	hard[NEXT(me)] = hard[NEXT(me)] ^ hard[LAST(me)];
	hard[LAST(me)] = hard[NEXT(me)] ^ hard[LAST(me)];
	hard[NEXT(me)] = hard[NEXT(me)] ^ hard[LAST(me)];
	again[NEXT(me)] = again[NEXT(me)] ^ again[LAST(me)];
	again[LAST(me)] = again[NEXT(me)] ^ again[LAST(me)];
	again[NEXT(me)] = again[NEXT(me)] ^ again[LAST(me)];
	silent[NEXT(me)] = silent[NEXT(me)] + 16 * silent[LAST(me)];
	silent[LAST(me)] = silent[NEXT(me)] % 16;
	silent[NEXT(me)] = silent[NEXT(me)] / 16;
	late[me] = (late[me] == 0 -> 0 : (IN_LAST(late[me]) -> late[me] - 1 : late[me] + 1));
	at[OTHER(me)] = (at[OTHER(me)] == READ_NEXT -> READ_LAST :
		(at[OTHER(me)] == READ_LAST -> READ_NEXT : at[OTHER(me)]))
}

/* Who had seen it takes the block for one that has not changed since. */
inline land_late(me)
{
	put(2 * me + IN_LAST(late[me]), IS_HARD(late[me]), late_age[me]);
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

/* It is good for V from the beginning of the cycle before this one. */
inline have_vote(me)
{
#ifdef WITHOUT_PAIRS
	vote[me] = E - began[me];
#else
#ifdef WITHOUT_PAIRS_OF_TIME
	vote[me] = E - began[me];
#else
	vote[me] = V + T - pair[me];
#endif
#endif
	check()
}

inline decide(me)
{
	if
	:: !rival[me] -> have_vote(me)
	:: else
	fi;
	pair[me] = began[me];
	end(me)
}

/* A claim was written. What is read tells nothing to who has the vote, and to who has claimed but
 * once. */
inline go_on(me)
{
	if
	:: HOLDS(me) && pair[me] != NONE -> have_vote(me); pair[me] = 0
#ifdef WITHOUT_PAIRS
	:: !HOLDS(me) -> at[me] = WROTE
#else
	:: !HOLDS(me) && pair[me] != NONE -> at[me] = WROTE
#endif
	:: else -> pair[me] = 0
	fi
}

/* To another partition, where the other node is or is not. Corosync does not count a vote of the
 * old one there. What the node has written of the old one keeps nobody away any more. */
inline move(me, to_other)
{
	together = to_other;
	vote[me] = 0;
	put(NEXT(me), false, 0);
	put(LAST(me), false, 0);
	late[me] = (late[me] > 0 && IS_HARD(late[me]) -> late[me] - 2 : late[me]);
	late_age[me] = 0;
	pair[me] = NONE;
#ifdef WITH_STALL
	stalled[me] = false;
#endif
	end(me)
}

proctype node(bit me)
{
	do
	/* Claims, or holds. */
	:: d_step { at[me] == BETWEEN -> land(me, true); turn(me); go_on(me) }
	:: d_step { at[me] == BETWEEN && MAY_BE_LATE(me) && again[NEXT(me)] -> land_before(me, true);
		turn(me); go_on(me) }
	/* Is idle. */
	:: d_step { at[me] == BETWEEN -> take_back(me); land(me, false); turn(me); pair[me] = NONE }
	:: d_step { at[me] == BETWEEN && MAY_BE_LATE(me) && again[NEXT(me)] -> take_back(me);
		land_before(me, false); turn(me); pair[me] = NONE }
	/* A write that fails is lost, or lands late. */
	:: d_step { at[me] == BETWEEN -> turn(me); pair[me] = NONE }
	:: d_step { at[me] == BETWEEN && MAY_BE_LATE(me) -> put_off(me, true, 0); turn(me);
		pair[me] = NONE }
	:: d_step { at[me] == BETWEEN && MAY_BE_LATE(me) -> take_back(me); put_off(me, false, 0);
		turn(me); pair[me] = NONE }
#ifdef WITH_LOSS
	:: d_step { at[me] == BETWEEN -> turn(me); go_on(me) } /* and nobody tells */
#endif
	:: d_step { late[me] > 0 -> land_late(me) }
	/* Reads, in any order, and decides. */
	:: d_step { at[me] == WROTE -> look(me, NEXT(OTHER(me))); at[me] = READ_NEXT }
	:: d_step { at[me] == WROTE -> look(me, LAST(OTHER(me))); at[me] = READ_LAST }
	:: d_step { at[me] == READ_NEXT -> look(me, LAST(OTHER(me))); decide(me) }
	:: d_step { at[me] == READ_LAST -> look(me, NEXT(OTHER(me))); decide(me) }
	:: d_step { at[me] == BETWEEN -> move(me, true) }
	:: d_step { at[me] == BETWEEN -> move(me, false) }
#ifdef WITH_STALL
	:: d_step { HOLDS(me) && !stalled[me] -> stalled[me] = true }
	:: d_step { stalled[me] -> stalled[me] = false; vote[me] = T; check() }
#endif
	od
}

inline tick_block(block)
{
	MORE(silent[block], E)
}

inline tick_node(me)
{
	late_age[me] = (late[me] > 0 && IS_HARD(late[me]) && late_age[me] < E ->
		late_age[me] + 1 : late_age[me]);
	began[me] = (at[me] == BETWEEN -> 0 : (began[me] < NONE -> began[me] + 1 : NONE));
	MORE(pair[me], NONE);
	vote[me] = (vote[me] > 0 -> vote[me] - 1 : 0);
#ifndef WITHOUT_PAIRS
	if
	:: pair[me] == NONE && at[me] != BETWEEN -> pair[me] = began[me]; end(me)
	:: else
	fi
#else
	if
	:: began[me] == NONE -> end(me)
	:: else
	fi
#endif
}

active proctype time()
{
	do
	:: d_step { true ->
		tick_block(0);
		tick_block(1);
		tick_block(2);
		tick_block(3);
		tick_node(0);
		tick_node(1)
	   }
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
