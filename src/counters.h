/*
 * counters.h -- how much is used so far, and taking more of it.
 */
#ifndef UT_COUNTERS_H
#define UT_COUNTERS_H

#include "postgres.h"

#include "events.h"
#include "limits.h"
#include "liveness.h"
#include "numbers.h"
#include "query.h"
#include "rows.h"
#include "settings.h"

/* What was used in one part of a sliding window. */
typedef struct Bucket
{
	TimestampTz at;				/* of the latest use in it */
	Numeric		used;
	bool		is_held;		/* by a reservation, so far */
} Bucket;

/* What one limit has at stake in one use. */
typedef struct Stake
{
	const UsageLimit *limit;
	Window		window;
	Numeric		max_usage;		/* negative: unlimited */
	Numeric		amount;			/* what this use would take */
	Numeric		used;			/* what was used before it */
	Numeric		held;			/* what live reservations hold besides */
	int64		holds;			/* how often reservations here had changed then */
	bool		may_have_holds; /* of which some may be live */
	bool		in_memory;		/* its counter is shared (counters_shared.c) */
	bool		lacks_row;		/* as it seems */
	bool		is_due;			/* for its row to follow, as it seems */
	bool		has_new_row;	/* that has this use in it */
	bool		is_unsure;		/* transactions under way may change it, */
	Numeric		more;			/* and may make it so much more */
	/* if it is not in memory: */
	bool		has_counter;	/* else "used" was summed from events */
	ItemPointerData counter;	/* where it stood */
	TimestampTz counts_to;		/* it has events before this instant, and "used" later ones too */
	/* if the window is sliding: */
	TimestampTz at;				/* the instant of the use */
	Bucket	   *buckets;		/* that are not empty, the earliest first */
	int			nbuckets;
} Stake;

/*
 * All limits that have a say, one stake each (a batch: one for each window), and the counters of other
 * windows of these limits that hold the instant: windows of an earlier clock,
 * which refuse nothing and count on.
 */
typedef struct Stakes
{
	Stake	   *all;
	int			n;
	Stake	   *neighbours;
	int			nneighbours;
	bool		is_known;		/* the user is, so these are windows of his */
	bool		is_late;		/* some row may count to a later instant already */
	TimestampTz first;			/* the instants between which the uses are */
	TimestampTz last;
	Event	   **events;			/* if there are several of them, or NULL */
	int			nevents;
} Stakes;

static inline bool
is_unlimited(const Stake *stake)
{
	return num_sign(stake->max_usage) < 0;
}

/* A part of a limit, and what is used with a use that may have reached it. */
typedef struct Mark
{
	int64		limit_id;
	Window		window;
	Numeric		amount;
	Numeric		used;
	bool		is_unsure;		/* transactions under way may change it */
} Mark;

/* A field of each of several stakes, as an SQL array. */
typedef enum StakeField
{
	LIMIT_ID,
	HOLDS,
	WINDOW_START,
	WINDOW_END,
	USED,
	AMOUNT,
	MINUS_AMOUNT,
	NOTHING,
	ROOM
} StakeField;

/* What a taking does to the rows. */
typedef enum TakingKind
{
	TAKE_IF_IT_FITS,			/* adds what is at stake, within hard limits */
	TAKE_ANYWAY,				/* adds it */
	TAKE_AND_SETTLE,			/* adds it, and a reservation stands for it no more */
	HOLD_IF_IT_FITS,			/* adds nothing: a reservation will stand for it */
	HOLD_ANYWAY,				/* as if it were reserved anew */
	TAKE_ALONE,					/* adds nothing yet; nobody else adds until the transaction ends */
	TAKE_TOGETHER				/* adds it; several windows of a limit may be at stake */
} TakingKind;

/* What decides on sight and what the row decides under its lock must agree. */
static inline bool
can_refuse(const Stake *stake)
{
	return !is_unlimited(stake) && stake->limit->is_hard && stake->limit->is_active &&
		setting_enforce_limits;
}

/* What was added up. */
typedef struct EventSpan
{
	int64		n;				/* events and months, */
	TimestampTz latest;			/* and the last of them; DT_NOBEGIN: none */
} EventSpan;

/* What a limit counts of an event, or of several of about the same instant. */
typedef struct Fact
{
	TimestampTz at;				/* of the latest */
	int64		n;
	Numeric		amount;			/* the visitor's */
} Fact;

typedef void (*VisitFact) (Fact *fact, void *argument);

/* Columns of usage_counters, as "counters" lists them. */
enum
{
	COUNTER_USER,
	COUNTER_LIMIT,
	COUNTER_START,
	COUNTER_END,
	COUNTER_USED,
	COUNTER_HOLDS,
	COUNTER_COUNTED_TO
};

/* A reservation: the use as it was asked for, and what became of it. */
typedef struct Hold
{
	Event		event;
	TimestampTz expires_at;
	char	   *state;
	char	   *reason;			/* of the answer to its commit, */
	FirstAnswer answer;			/* and the rest of that */
} Hold;

extern int64 next_hold_id(const Installation *home);
extern void insert_hold(const Event *event, TimestampTz expires_at);
extern Hold *live_holds(Datum user_id, int *n);
extern void leave_memory_for(const Installation *home, Datum user_id);
extern void known_holds_init(void);
extern Hold *holds_now(Datum user_id, int *n);
extern bool hold_is_live(Datum user_id, int64 id);
extern bool lock_hold(Datum user_id, int64 id, Hold *hold);
extern void settle_hold(Datum user_id, int64 id, const char *state);
extern void keep_answer_of_hold(Datum user_id, int64 id, const char *reason, const FirstAnswer *answer);

/* counters_levels.c */
extern void read_levels(Datum user_id, Stakes *stakes, bool afresh);
extern Numeric lock_level(Datum user_id, const char *limit_type);
extern void write_level(Datum user_id, const char *limit_type, Numeric level);
extern void write_lease(Datum user_id, int64 id, const char *limit_type, TimestampTz expires_at, SessionMark holder);
extern int64 next_lease_id(const Installation *home);
extern int64 count_live_leases(Datum user_id, const char *limit_type, TimestampTz now);
extern bool lease_is_live(Datum user_id, int64 id);
extern char *limit_of_lease(Datum user_id, int64 id);
extern bool lock_live_lease(Datum user_id, int64 id);
extern void prolong_lease(Datum user_id, int64 id, TimestampTz expires_at, SessionMark holder);
extern void end_lease(Datum user_id, int64 id);
extern void bury_leases(Datum user_id, const char *limit_type);

extern bool limit_counts(const UsageLimit *limit, const Event *event);
extern Numeric amount_of(const UsageLimit *limit, const Event *event);
extern Datum stake_array(const Stake *stakes, int n, StakeField field);
extern Stake *stake_in_window(Stakes *stakes, int64 limit_id, Window window);
extern Table counters;
extern Numeric room_of(const Stake *stake);
extern Numeric add_and_free(Numeric sum, Numeric amount);
extern void visit_facts(Datum user_id, const UsageLimit *limit, TimestampTz from, TimestampTz to, VisitFact visit, void *argument);
extern Numeric sum_of_events(Datum user_id, const Stake *stake, TimestampTz from, TimestampTz to, EventSpan *span);
extern TimestampTz earliest_neighbour(const Stake *stake);
extern bool counts_some_of(const Stakes *stakes, const Stake *stake, Window window);
extern Numeric amount_before(const Stakes *stakes, const Stake *stake, Window window, TimestampTz bound);
extern void read_from_rows(Datum user_id, Stakes *stakes);
extern void read_counters(Datum user_id, TimestampTz first, TimestampTz last, Stakes *stakes, bool afresh);
extern bool is_held_of(const Stake *stake, const Hold *hold);
extern void read_holds_again(Datum user_id, Stakes *stakes);
extern bool take_from_counters(Datum user_id, Stakes *stakes, TakingKind kind);
extern void add_to_counters(Datum user_id, const Stakes *stakes);
extern void return_to_counters(Datum user_id, const Stakes *stakes);
extern bool is_row_of(Datum user_id, int64 limit_id, const LockedRow *row);
extern Stake **sorted_stakes(const Stakes *stakes);
extern bool take_from_rows(Datum user_id, Stakes *stakes, TakingKind kind, bool *stale);
extern void add_to_rows(Datum user_id, const Stakes *stakes, StakeField amount);

/* counters_fold.c */
extern void note_folds(Datum user_id, const Stakes *stakes);

/* counters_shared.c */
extern void read_shared(Datum user_id, Stakes *stakes);
extern bool read_if_shared(Datum user_id, Stakes *stakes);
extern bool holds_belong(Datum user_id, const Stakes *stakes);
extern bool take_shared(Datum user_id, Stakes *stakes, TakingKind kind, bool *stale);
extern void add_to_shared(Datum user_id, const Stakes *stakes, bool back);
extern void let_rows_follow(Datum user_id, Stakes *stakes);

/* counters_elsewhere.c */
extern void counters_elsewhere_init(void);

/* counters_past.c */
extern void pass_memory_by(const Installation *home, Datum user_id);
extern void pass_all_memory_by(void);

/* counters_sliding.c */
extern void read_buckets(Datum user_id, Stake *stake);
extern void note_held_bucket(Stake *stake, TimestampTz at, Numeric amount);
extern bool any_slides(const Stakes *stakes);
extern void split_stakes(const Stakes *stakes, Stakes *counted, Stakes *sliding);
extern void join_stakes(Stakes *stakes, const Stakes *counted, const Stakes *sliding);
extern bool take_sliding(Datum user_id, Stakes *stakes, TakingKind kind);

/* counters_reached.c */
extern bool is_sure_of_marks(Datum user_id, List *marks);
extern void wait_for_marks(Datum user_id, List *marks);

#endif							/* UT_COUNTERS_H */
