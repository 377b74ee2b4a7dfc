/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The witness of cluster/witness/arbiter.c, for spin: N nodes, one slot each, time in ticks.
 *
 * Between any two steps of a node any number of ticks may pass: it stands still, its write or read is
 * slow. It may crash at each step and begin anew; its partition may change at each step, to any, as
 * others see theirs or not. A write may be lost or torn, and with LATE carried out later, over newer
 * ones. What is one step here must be one there: the look at the clock before the vote is cast.
 *
 * An assertion: two nodes that corosync counts the vote at are of one partition.
 * -DLIVE: node 1 has died at whatever step, nothing else fails, and steps are fast: the last node
 * gets the vote, and keeps it (someone).
 *
 * Settings: -DN=2|3 -DEXPIRE=ticks -DLATE -DLIVE
 */
#ifndef N
#define N 2
#endif
#define VOTE 1	/* how long a vote is good from the beginning of its cycle */
#define QUEUE 1 /* corosync's timeout behind the last poll */
#ifndef EXPIRE
#define EXPIRE 3 /* a slot that is the same so long is gone */
#endif
#define RINGS 2	     /* names of partitions; any node may be in any */
#define WITHIN 1     /* LATE: ticks in which a late write comes */

#define IDLE 0
#define CLAIM 1
#define HOLD 2
#define TORN 3 /* on the disk */

#define PAIR(i, j) ((i) * N + (j))

/* of nodes */
byte state[N], ring[N], cycle[N] /* ticks since its beginning, up to VOTE */, left[N] /* HOLD: ticks */;
byte cast[N]; /* ticks for which corosync still counts the vote */
bool dead[N], busy[N], moved[N] /* to another partition since the cycle began */;
/* on the disk */
byte slot[N], slot_ring[N];
/* what i knows of the slot of j */
byte age[N * N];
bool fresh[N * N], old_enough[N * N];

#ifdef LATE
byte late[N], late_ring[N], late_left[N], unsure[N], watched[N], gap[N];
bool slot_old[N], saw_newer[N * N];
#endif

inline lands(me, what, of_ring)
{
	slot[me] = what;
	slot_ring[me] = of_ring;
	k = 0;
	do
	:: k < N -> fresh[PAIR(k, me)] = true; k++
	:: else -> k = 0; break
	od
}

proctype node(byte me)
{
	byte other, k;
	byte pending, pending_ring;
	bool rival;

begin:
	atomic {
		busy[me] = true;
		moved[me] = false;
		cycle[me] = 0;
		pending = state[me];
		pending_ring = ring[me];
		k = 0;
		do
		:: k < N -> old_enough[PAIR(me, k)] = (age[PAIR(me, k)] >= EXPIRE); k++
		:: else -> k = 0; break
		od
	}
	atomic {
		if
		:: lands(me, pending, pending_ring)
#ifdef LATE
		   ; slot_old[me] = false
#endif
#ifndef LIVE
		:: goto ended /* lost, and told */
		:: lands(me, TORN, pending_ring); goto ended
#ifdef LATE
		:: late_left[me] == 0 ->
		   late[me] = pending; late_ring[me] = pending_ring; late_left[me] = WITHIN;
		   unsure[me] = EXPIRE;
		   do
		   :: k < N -> saw_newer[PAIR(k, me)] = false; k++
		   :: else -> k = 0; break
		   od;
		   goto ended
#endif
#endif
		fi
	}
	other = 0;
	rival = false;
	do
	:: atomic {
		if
		:: other == me -> other++
		:: else
		fi;
		other < N ->
		if
		:: true ->
			if
			:: fresh[PAIR(me, other)] -> fresh[PAIR(me, other)] = false; age[PAIR(me, other)] = 0
			:: else
			fi;
			if
			:: age[PAIR(me, other)] > 0 && old_enough[PAIR(me, other)] /* gone */
#ifdef LATE
			:: else ->
				if
				:: slot_old[other] && saw_newer[PAIR(me, other)] -> rival = true
				:: else ->
					if
					:: !slot_old[other] -> saw_newer[PAIR(me, other)] = true
					:: else
					fi;
					if
					:: slot[other] == TORN -> rival = true
					:: slot[other] != TORN && slot[other] != IDLE && slot_ring[other] != ring[me] -> rival = true
					:: else
					fi
				fi
#else
			:: else ->
				if
				:: slot[other] == TORN -> rival = true
				:: slot[other] != TORN && slot[other] != IDLE && slot_ring[other] != ring[me] -> rival = true
				:: else
				fi
#endif
			fi
		fi;
		other++;
		if
		:: other == N || (other == me && me == N - 1) -> break
		:: else
		fi
	   }
	od;
	atomic { /* decide, cast */
		other = 0;
#ifdef LATE
		if
		:: gap[me] > VOTE -> watched[me] = 0
		:: else
		fi;
		gap[me] = 0;
#endif
		if
		:: state[me] == HOLD && left[me] == 0 -> state[me] = CLAIM; cast[me] = 0
		:: else
		fi;
		if
#ifdef LATE
		:: slot_old[me] -> unsure[me] = EXPIRE /* its own slot is not as it was written */
#endif
		:: else ->
			if
			:: state[me] == IDLE -> state[me] = CLAIM
			:: state[me] == CLAIM && pending == CLAIM && !moved[me] && !rival && cycle[me] < VOTE
#ifdef LATE
			   && unsure[me] == 0 && watched[me] >= EXPIRE
#endif
			   -> state[me] = HOLD; left[me] = VOTE - cycle[me]
#ifndef LIVE
			:: state[me] == CLAIM && rival -> state[me] = IDLE
#endif
			:: state[me] == HOLD && pending == HOLD && !moved[me] && cycle[me] < VOTE ->
			   left[me] = VOTE - cycle[me]
			:: else
			fi
		fi;
		if
		:: state[me] == HOLD && left[me] > 0 -> cast[me] = QUEUE
		:: else -> cast[me] = 0
		fi;
		do /* never two; nothing else adds one */
		:: k < N -> assert(!cast[me] || !cast[k] || ring[k] == ring[me]); k++
		:: else -> k = 0; break
		od
	}
ended:
	atomic {
		busy[me] = false;
		moved[me] = false;
		cycle[me] = 0;
		pending = 0; pending_ring = 0; rival = false; other = 0;
		if
		:: goto begin
#ifndef LIVE
		:: /* a crash; it knows nothing any more */
		   cast[me] = 0; left[me] = 0;
		   state[me] = IDLE;
		   do
		   :: k < N -> age[PAIR(me, k)] = 0; fresh[PAIR(me, k)] = true;
#ifdef LATE
			saw_newer[PAIR(me, k)] = false;
#endif
			k++
		   :: else -> k = 0; break
		   od;
#ifdef LATE
		   watched[me] = 0; gap[me] = VOTE + 1;
#endif
		   goto begin
#else
		:: me == 0 -> dead[me] = true
#endif
		fi
	}
}

/* The partition changes; the vote was for the one before. */
#ifndef LIVE
proctype cut()
{
	byte who;

	do
	:: atomic {
		select(who : 0 .. N - 1);
		moved[who] = busy[who];
		ring[who] = (ring[who] + 1) % RINGS;
		cast[who] = 0; left[who] = 0; state[who] = CLAIM;
		who = 0
	   }
	od
}
#endif

#ifdef LATE
proctype late_writes()
{
	byte who, k;

	do
	:: atomic {
		select(who : 0 .. N - 1);
		late_left[who] > 0 ->
		lands(who, late[who], late_ring[who]);
		slot_old[who] = true; late_left[who] = 0; late[who] = 0; late_ring[who] = 0;
		who = 0
	   }
	od
}
#endif

proctype time()
{
	byte i, j;

	do
	:: atomic {
#ifdef LIVE
		!busy[N - 1] && (!busy[0] || dead[0]) ->
#else
		true ->
#endif
		i = 0;
		do
		:: i < N ->
			if
			:: busy[i] && cycle[i] < VOTE -> cycle[i]++
			:: else
			fi;
			if
			:: left[i] > 0 -> left[i]--
			:: else
			fi;
			if
			:: cast[i] > 0 -> cast[i]--
			:: else
			fi;
#ifdef LATE
			if
			:: late_left[i] > 0 -> late_left[i]--
			:: else
			fi;
			if
			:: late_left[i] == 0 -> late[i] = 0; late_ring[i] = 0
			:: else
			fi;
			if
			:: unsure[i] > 0 -> unsure[i]--
			:: else
			fi;
			if
			:: gap[i] <= VOTE -> gap[i]++
			:: else
			fi;
			if
			:: watched[i] < EXPIRE -> watched[i]++
			:: else
			fi;
#endif
			j = 0;
			do
			:: j < N ->
				if
				:: i != j && age[PAIR(i, j)] < EXPIRE -> age[PAIR(i, j)]++
				:: else
				fi;
				j++
			:: else -> break
			od;
			i++
		:: else -> i = 0; j = 0; break
		od
	   }
	od
}

init
{
	byte i;

	atomic {
		do
		:: i < N ->
			ring[i] = i % RINGS;
			run node(i);
			i++
		:: else -> i = 0; break
		od;
		run time();
#ifndef LIVE
		run cut();
#endif
#ifdef LATE
		run late_writes();
#endif
	}
}

#ifdef LIVE
ltl someone { <>[] dead[0] -> <>[] (cast[N - 1] > 0) }
#endif
