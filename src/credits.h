/*
 * credits.h -- who pays: what a user has, and taking some of it.
 */
#ifndef UT_CREDITS_H
#define UT_CREDITS_H

#include "postgres.h"

#include "decision.h"
#include "events.h"
#include "limits.h"
#include "utils/jsonb.h"

#define CREDIT_DECIMALS 9

/* Credits that came together and end together. */
typedef struct Grant
{
	int64		id;				/* 0: a refill that nobody wrote down yet */
	bool		is_refill;
	Numeric		amount;
	Numeric		remaining;
	int32		priority;		/* lower ones are spent first */
	TimestampTz effective_at;
	TimestampTz expires_at;		/* DT_NOEND: never */
	Numeric		max_rollover;
	TimestampTz rollover_until;
	bool		is_open;
	bool		is_new;			/* no row yet */
	bool		is_changed;
} Grant;

/* What a plan gives anew in each period. */
typedef struct Refill
{
	Numeric		amount;			/* NULL: nothing */
	Numeric		max_rollover;
	Interval	period;
} Refill;

/* What a user's plan gave since an instant. */
typedef struct RefillStep
{
	TimestampTz since;
	Refill		refill;
} RefillStep;

typedef struct RefillSteps
{
	RefillStep *all;
	int			n;
} RefillSteps;

/* A user's credits as they are at one instant. */
typedef struct Account
{
	const Installation *home;
	Datum		user_id;
	TimestampTz now;
	bool		is_known;		/* has a row */
	Numeric		overdraft;
	Numeric		owed;			/* less than nothing: paid back twice */
	Numeric		earned;
	Numeric		spent;
	TimestampTz last_refill_at; /* DT_NOBEGIN: never */
	TimestampTz created_at;
	TimestampTz updated_at;
	Numeric		held;			/* reserved */
	Refill		refill;
	Window		period;			/* of the refill, that holds now */
	Grant	   *grants;
	int			ngrants;
	int			room;			/* for grants */
} Account;

/* How much of a transaction is of which grant; id 0 is what is owed. */
typedef struct Part
{
	int64		grant;
	Numeric		amount;
} Part;

typedef struct Parts
{
	Part	   *all;
	int			n;
} Parts;

/* One row of the ledger.  Texts may be NULL. */
typedef struct LedgerEntry
{
	int64		id;				/* once it is written */
	const char *action;
	Numeric		amount;
	Numeric		balance_after;
	const char *type;
	char	   *description;
	char	   *reference_id;
	Jsonb	   *metadata;
	TimestampTz effective_at;
	int64		refunds;		/* 0: it is no refund */
	int64		event_id;		/* 0: it is not of a use */
	Parts		parts;
} LedgerEntry;

/* credits.c */
extern Numeric usable(const Grant *grant, TimestampTz at);
extern Numeric balance_at(const Account *account, TimestampTz at);
extern Numeric available(const Account *account);
extern Grant *add_grant(Account *account);
extern Grant *find_grant(const Account *account, int64 id);
extern void add_due_refills(Account *account, const UserTerms *terms);
extern Parts draw(Account *account, Numeric amount);
extern Parts give(Account *account, Grant *grant);
extern Parts give_back(Account *account, const Parts *taken, Numeric amount);

/* credits_config.c */
extern void credits_init(void);
extern Numeric credit_cost_of(const Event *event);
extern Refill with_override(const char *plan, Refill refill);
extern Refill refill_of_plan(const char *plan);

/* credits_past.c */
extern Refill refill_at(Datum user_id, TimestampTz at);
extern RefillSteps refill_steps(Datum user_id, TimestampTz begin, TimestampTz last, const Refill *present, TimestampTz now);
extern Numeric balance_then(const Installation *home, Datum user_id, const UserTerms *terms, TimestampTz at);

/* credits_account.c */
extern Account empty_account(const Installation *home, Datum user_id);
extern void read_grants(Account *account, uint64 n, int column);
extern Account look_at_account(const Installation *home, Datum user_id, const UserTerms *terms, bool afresh);
extern Account lock_account(const Installation *home, Datum user_id, const UserTerms *terms);
extern Account account_to_change(const Installation *home, Datum user_id);
extern void load_grants(Account *account, const Parts *parts);
extern bool settle_account(Account *account);
extern void write_account(Account *account);
extern TimestampTz next_refill(const Account *account);

/* credits_ledger.c */
extern Datum grants_of(const Parts *parts);
extern void write_entry(Account *account, LedgerEntry *entry);
extern bool find_entry(Datum user_id, int64 id, LedgerEntry *entry);
extern bool find_entry_of_event(Datum user_id, int64 event_id, LedgerEntry *entry);
extern bool find_entry_by_reference(Datum user_id, const char *action, const char *reference_id, LedgerEntry *entry);
extern Parts parts_not_refunded(Datum user_id, const LedgerEntry *entry);
extern Numeric sum_of_parts(const Parts *parts);
extern LedgerEntry refund_entry(Account *account, const LedgerEntry *of, const Parts *left, Numeric amount);

/* credits_charge.c */
extern Numeric price_of(Event *event);
extern Decision decide_credits(const Account *account, const Decision *limits);
extern void allow_unpaid(Decision *decision, const char *reason);
extern void deny_without_credits(const Installation *home, const Event *event, const UserTerms *terms,
								 Numeric price, bool afresh, Decision *decision);
extern bool set_price(const Account *account, Event *event, Numeric price, bool may_refuse);
extern void pay(Account *account, const Event *event);
extern void refund_event(const Installation *home, Event *left, Numeric quantity);

#endif							/* UT_CREDITS_H */
