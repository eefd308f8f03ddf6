/* bad_input: every argument of every function × every nasty value of its kind.
 *
 * A value is either legal or refused with its stated SQLSTATE, and a call that
 * failed or was rolled back leaves all tables, rights and answers as they were.
 * The functions come from the catalog: one without a line in the tables below
 * fails the test.  What lies just inside a bound is stored exactly.
 */
BEGIN;
SELECT no_plan();
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SET search_path = usage, public;
SET TimeZone = 'UTC';
SET client_min_messages = warning;
SET usage_tracking.clock = '2026-03-10 12:00+00';
\set ann '00000000-0000-0000-0000-00000000000a'

-- Something of everything, so that every table has rows to lose
\o /dev/null
CREATE TABLE public.bad_input_users (id uuid, email text, born date);
INSERT INTO public.bad_input_users VALUES (:'ann', 'ann@example.com', '1984-01-01');
CREATE TABLE public.bad_input_more (LIKE public.bad_input_users);
CREATE VIEW public.bad_input_view AS TABLE public.bad_input_users;
SELECT install_default_plans();
SELECT create_usage_partition('2026-03-01');
SELECT define_usage_limit('videos_daily', 'video', 1000000);
SELECT define_usage_limit('tokens_total', NULL, -1, 'lifetime', measure => 'tokens');
SELECT define_usage_limit('units_monthly', 'image', -1, 'anchored', '1 month', time_zone => 'Asia/Tokyo');
SELECT set_plan_limit('pro', 'videos_daily', 2000000);
SELECT set_user_limit(:'ann', 'videos_daily', 3000000, '2027-01-01', 'why not');
SELECT set_temporary_limit('videos_daily', 4000000, '2026-03-01', '2026-04-01', 'pro', 'spring');
SELECT set_user_plan(:'ann', 'pro');
SELECT consume_usage(:'ann', 'video', 2.5, 7, 0.01, 'a key');
SELECT track_usage(:'ann', 'image', occurred_at => '2026-02-10 12:00+00');
SELECT reserve_usage(:'ann', 'video', 3), adjust_usage(:'ann', 'videos_daily', 2, reason => 'why');
SELECT _raise_unusual_use(:'ann', 'video', '2026-03-09', 3, 1), define_usage_alert('videos_daily', 99);
INSERT INTO usage_carried VALUES (:'ann', 'image', 'success', 0, '2025-01-01 00:00+00', 1, 1, 0, 0);
SELECT install_seed_prices();
SELECT set_stripe_price('price_1', 'pro'), apply_stripe_event(jsonb_build_object('id', 'evt_1', 'type', 'customer.subscription.created', 'created', 1772323200, 'data', jsonb_build_object('object',
    jsonb_build_object('id', 'sub_1', 'customer', 'cus_1', 'status', 'active', 'metadata', jsonb_build_object('user_id', :'ann'), 'items', '{"data": [{"price": "price_1"}]}'::jsonb))));
SELECT define_campaign(:'ann', 'spring', 'Spring', 100);
SELECT track_api_usage(:'ann', 'image', 'openai', 'gpt-4o', input_tokens => 1000, campaign_id => 'spring', ip => '192.0.2.1', metadata => '{"token": "x"}');
SELECT track_api_usage(:'ann', 'image', 'openai', 'unpriced', input_tokens => 7);
SELECT grant_role(:'ann', 'admin'), grant_role(:'ann', 'support'), grant_role('00000000-0000-0000-0000-00000000000b', 'admin');
SELECT define_usage_limit('places', NULL, -1, 'gauge'), define_usage_limit('rows_there', NULL, -1, 'gauge');
SELECT set_usage_level(:'ann', 'places', 7), acquire_lease(:'ann', 'places');
CREATE TABLE public.bad_input_rows (LIKE public.bad_input_users);
SELECT attach_usage_gauge('public.bad_input_rows', 'rows_there', 'id');
INSERT INTO public.bad_input_rows TABLE public.bad_input_users;
INSERT INTO deleted_users VALUES ('00000000-0000-0000-0000-00000000000c', 'erase', '2026-03-01');
CREATE TABLE public.bad_input_presets (id integer PRIMARY KEY, uses bigint, more bigint, at timestamptz, born date);
CREATE TABLE public.bad_input_uses (id integer, uses bigint, at timestamptz, born date);
INSERT INTO public.bad_input_presets VALUES (1);
INSERT INTO public.bad_input_uses VALUES (1, 1, '2026-03-01');
SELECT attach_usage_tally('public.bad_input_presets', 'id', 'uses', 'public.bad_input_uses', 'id', NULL, 'at', 'uses');
SELECT define_usage_type('report');
SELECT record_delivery(:'ann', id, false, 500, 'busy', 'd-1') FROM start_run(:'ann', 'report', configuration_snapshot => '{"a": 1}');
SELECT set_credit_cost('video', 2), set_credit_refill('pro', 100), set_credit_overdraft(:'ann', 5);
SELECT grant_credits(:'ann', 10, reference_id => 'a reference', expires_at => '2026-05-01');
SELECT spend_credits(:'ann', 2.5);
CREATE ROLE regress_ut_bad_input;
\o

-- ---- the arguments: of what kind, and a good value ----

CREATE TEMP TABLE argument (function name, argument name, kind text, good text, PRIMARY KEY (function, argument));
INSERT INTO argument
SELECT unnest(string_to_array(functions, ' ')), argument, kind, good FROM (VALUES
    ('consume_usage require_usage track_usage check_usage_limit set_user_plan set_user_clock set_user_limit grant_role revoke_role'
     ' reserve_usage adjust_usage reset_user_usage erase_user export_user_data get_usage_alerts'
     ' get_campaigns get_user_usage get_user_costs get_user_usage_history get_user_aggregations get_user_stats',
                                             'user_id',         'user',         '''00000000-0000-0000-0000-00000000000a'''),
    ('commit_usage release_usage reverse_usage acknowledge_usage_alert', 'user_id', 'its user',     '''00000000-0000-0000-0000-00000000000a'''),
    ('has_role is_admin',                    'user_id',         'user or nobody', '''00000000-0000-0000-0000-00000000000a'''),
    ('consume_usage require_usage track_usage reserve_usage', 'usage_type', 'known name', '''image'''),
    ('check_usage_limit',                    'name',            'known name',   '''image'''),
    ('set_plan_limit set_temporary_limit set_user_limit adjust_usage reset_user_usage', 'limit_type', 'known name', '''videos_daily'''),
    ('define_usage_limit',                   'limit_type',      'new name',     '''new_limit'''),
    ('define_usage_alert',                   'limit_type',      'known name or all', '''videos_daily'''),
    ('define_usage_alert',                   'threshold',       'percent',      '80'),
    ('define_usage_alert',                   'throttle',        'throttle',     '''1 hour'''),
    ('get_usage_alerts',                     'before_id',       'any id',       '7'),
    ('get_usage_alerts',                     'max_rows',        'rows',         '10'),
    ('acknowledge_usage_alert',              'alert_id',        'alert',        '(SELECT min(id) FROM usage.usage_alerts)'),
    ('define_usage_type',                    'usage_type',      'new name',     '''new_type'''),
    ('define_usage_limit',                   'usage_type',      'new name or all', '''video'''),
    ('set_user_plan set_plan_limit',         'plan',            'known plan',   '''pro'''),
    ('set_temporary_limit',                  'plan',            'known plan or all', '''pro'''),
    ('set_temporary_limit',                  'starts_at',       'begin',        '''2026-04-01'''),
    ('set_temporary_limit',                  'ends_at',         'end',          '''2026-05-01'''),
    ('grant_role revoke_role has_role',      'role',            'role',         '''support'''),
    ('consume_usage require_usage reserve_usage', 'quantity',   'positive',     '1'),
    ('commit_usage',                         'quantity',        'amount or none', '1'),
    ('commit_usage',                         'cost',            'money or none', '0'),
    ('reverse_usage',                        'quantity',        'part',         '1.5'),
    ('adjust_usage',                         'used',            'amount',       '7'),
    ('commit_usage release_usage',           'reservation_id',  'reservation',  '(SELECT max(id) FROM usage.usage_reservations WHERE NOT is_run)'),
    ('reverse_usage',                        'event_id',        'event',        '(SELECT min(id) FROM usage.usage_events)'),
    ('reserve_usage',                        'expires_in',      'hold',         '''15 minutes'''),
    ('track_usage_batch',                    'events',          'batch',        '''[]'''),
    ('check_usage_limit track_usage',        'quantity',        'amount',       '1'),
    ('consume_usage require_usage check_usage_limit track_usage reserve_usage', 'cost', 'money', '0'),
    ('consume_usage require_usage check_usage_limit track_usage reserve_usage', 'tokens', 'count', '0'),
    ('track_usage',                          'duration_ms',     'count or none', '1500'),
    ('commit_usage',                         'tokens',          'count or none', '3'),
    ('consume_usage require_usage track_usage reserve_usage', 'idempotency_key', 'text',      '''another key'''),
    ('consume_usage require_usage track_usage', 'event_subtype', 'text',        '''hd'''),
    ('consume_usage require_usage track_usage', 'resource_type', 'text',        '''film'''),
    ('consume_usage require_usage track_usage', 'resource_id',  'text',         '''f/1'''),
    ('track_usage',                          'parent_resource_id', 'text',      '''F'''),
    ('set_temporary_limit set_user_limit reverse_usage adjust_usage', 'reason',     'text',         '''good customer'''),
    ('track_usage',                          'error_message',   'cut text',     '''timeout'''),
    ('define_usage_type define_usage_limit define_usage_alert', 'description',     'free text',    '''what it is'''),
    ('consume_usage require_usage track_usage commit_usage', 'metadata',     'metadata',     '''{}'''),
    ('track_usage',                          'status',          'status',       '''success'''),
    ('adjust_usage',                         'at',              'event time',   '''2026-03-10 11:00+00'''),
    ('track_usage',                          'occurred_at',     'event time',   '''2026-03-10 11:00+00'''),
    ('set_user_plan set_user_limit',         'expires_at',      'time',         '''2027-01-01'''),
    ('set_user_clock',                       'anchor',          'anchor',         '''2026-01-31'''),
    ('set_user_plan',                        'billing_period_start', 'period start', '''2026-03-01'''),
    ('set_user_plan',                        'billing_period_end', 'period end', '''2026-04-01'''),
    ('set_user_clock define_usage_limit',    'time_zone',       'zone',         '''Europe/Berlin'''),
    ('define_usage_limit',                   'max_usage',       'maximum',      '10'),
    ('set_plan_limit set_temporary_limit set_user_limit',        'max_usage',       'maximum or none', '10'),
    ('define_usage_limit',                   'window_kind',     'word',         '''calendar'''),
    ('define_usage_limit',                   'measure',         'measure',      '''events'''),
    ('define_usage_limit',                   'enforcement',     'word',         '''soft'''),
    ('attach_users',                         'on_delete',       'word',         '''erase'''),
    ('define_usage_limit',                   'period',          'period',       '''1 week'''),
    ('define_usage_limit define_usage_alert', 'is_active',      'switch',       'true'),
    ('get_usage_alerts',                     'open_only',       'switch',       'true'),
    ('grant_usage_access',                   'server',          'switch',       'true'),
    ('define_usage_limit',                   'statuses',        'statuses',     '''{success,failed}'''),
    ('attach_users',                         'users',           'users table',  '''public.bad_input_users'''),
    ('attach_users',                         'id_column',       'column',       '''id'''),
    ('attach_users',                         'email_column',    'column',       '''email'''),
    ('make_admin_by_email',                  'email',           'email',        '''ann@example.com'''),
    ('grant_usage_access',                   'role',            'database role', '''regress_ut_bad_input'''),
    ('create_usage_partition',               'month',           'month',        '''2026-04-01'''),
    ('calculate_llm_cost calculate_image_cost calculate_video_cost', 'provider', 'text', '''openai'''),
    ('calculate_llm_cost calculate_openai_cost calculate_image_cost calculate_video_cost', 'model', 'text', '''gpt-4o'''),
    ('calculate_llm_cost calculate_openai_cost', 'input_tokens', 'count', '1000'),
    ('calculate_llm_cost calculate_openai_cost', 'output_tokens', 'count', '10'),
    ('calculate_llm_cost', 'cache_read_tokens', 'count', '1'),
    ('calculate_llm_cost', 'cache_write_tokens', 'count', '1'),
    ('calculate_llm_cost', 'cache_write_1h_tokens', 'count', '1'),
    ('calculate_llm_cost', 'reasoning_tokens', 'count', '1'),
    ('calculate_llm_cost', 'audio_input_tokens', 'count', '1'),
    ('calculate_llm_cost', 'audio_cache_read_tokens', 'count', '1'),
    ('calculate_llm_cost', 'audio_output_tokens', 'count', '1'),
    ('calculate_llm_cost', 'image_input_tokens', 'count', '1'),
    ('calculate_llm_cost', 'image_output_tokens', 'count', '1'),
    ('calculate_llm_cost', 'requests', 'count', '1'),
    ('calculate_llm_cost',                   'service_tier',    'word',         '''batch'''),
    ('calculate_llm_cost calculate_image_cost calculate_video_cost', 'at', 'time', '''2026-03-01'''),
    ('calculate_image_cost',                 'images',          'count',        '2'),
    ('calculate_image_cost',                 'size',            'size',         '''1024x1792'''),
    ('calculate_image_cost',                 'quality',         'text',         '''hd'''),
    ('calculate_video_cost',                 'seconds',         'amount',       '7.5'),
    ('calculate_video_cost',                 'resolution',      'text',         '''1080p'''),
    ('import_model_prices',                  'prices',          'price list',   '''{}'''),
    ('import_model_prices',                  'effective_from',  'time',         '''2026-03-01'''),
    ('import_model_prices',                  'source',          'text',         '''a list'''),
    ('usage_from_openai usage_from_anthropic usage_from_opentelemetry', 'usage', 'usage object', '''{}'''),
    ('track_api_usage define_campaign',      'user_id',         'user',         '''00000000-0000-0000-0000-00000000000a'''),
    ('track_api_usage',                      'service_type',    'known name',   '''image'''),
    ('track_api_usage',                      'provider',        'text',         '''openai'''),
    ('track_api_usage',                      'model',           'text',         '''gpt-4o'''),
    ('track_api_usage',                      'endpoint',        'cut text',     '''/v1/images'''),
    ('track_api_usage',                      'request_id',      'cut text',     '''req_1'''),
    ('track_api_usage',                      'input_tokens',    'tokens',       '1000'),
    ('track_api_usage',                      'output_tokens',   'tokens',       '10'),
    ('track_api_usage',                      'cache_read_tokens', 'tokens',     '1'),
    ('track_api_usage',                      'cache_write_tokens', 'tokens',    '1'),
    ('track_api_usage',                      'cache_write_1h_tokens', 'tokens', '1'),
    ('track_api_usage',                      'reasoning_tokens', 'tokens',      '1'),
    ('track_api_usage',                      'audio_input_tokens', 'tokens',    '1'),
    ('track_api_usage',                      'audio_cache_read_tokens', 'tokens', '1'),
    ('track_api_usage',                      'audio_output_tokens', 'tokens',   '1'),
    ('track_api_usage',                      'image_input_tokens', 'tokens',    '1'),
    ('track_api_usage',                      'image_output_tokens', 'tokens',   '1'),
    ('track_api_usage',                      'quantity',        'amount',       '1'),
    ('track_api_usage',                      'status',          'status',       '''success'''),
    ('track_api_usage',                      'duration_ms',     'count or none', '1500'),
    ('track_api_usage',                      'error_message',   'cut text',     '''timeout'''),
    ('track_api_usage',                      'error_code',      'text',         '''rate_limit'''),
    ('track_api_usage',                      'campaign_id',     'text',         '''spring'''),
    ('track_api_usage',                      'ip',              'address',      '''192.0.2.1'''),
    ('track_api_usage',                      'user_agent',      'cut text',     '''curl'''),
    ('track_api_usage',                      'metadata',        'metadata',     '''{}'''),
    ('track_api_usage',                      'occurred_at',     'event time',   '''2026-03-10 11:00+00'''),
    ('track_api_usage',                      'idempotency_key', 'text',         '''another key'''),
    ('track_api_usage',                      'service_tier',    'word',         '''batch'''),
    ('track_api_usage',                      'event_subtype',   'text',         '''hd'''),
    ('track_api_usage',                      'resource_type',   'text',         '''film'''),
    ('track_api_usage',                      'resource_id',     'text',         '''f/1'''),
    ('recost_usage',                         'from_time',       'from',         '''2026-03-01'''),
    ('recost_usage',                         'to_time',         'to',           '''2026-04-01'''),
    ('define_campaign',                      'campaign_id',     'campaign',     '''spring'''),
    ('define_campaign',                      'name',            'text',         '''Spring'''),
    ('define_campaign',                      'budget',          'amount or none', '250'),
    ('define_campaign',                      'description',     'free text',    '''what it is'''),
    ('get_user_usage get_user_aggregations get_usage_totals', 'first_day', 'first day', '''2026-03-01'''),
    ('get_user_usage get_user_aggregations get_usage_totals', 'last_day', 'last day', '''2026-03-31'''),
    ('get_user_aggregations get_usage_totals', 'granularity',   'word',         '''week'''),
    ('get_user_usage_history',               'before_time',     'time',         '''2026-03-10'''),
    ('get_user_usage_history',               'before_id',       'any id',       'NULL'),
    ('get_user_usage_history',               'max_rows',        'rows',         '7'),
    ('get_user_stats',                       'days',            'days',         '7'),
    ('refresh_usage_aggregations',           'max_events',      'width',        '7'),
    ('set_usage_level add_usage_level acquire_lease', 'user_id', 'user',        '''00000000-0000-0000-0000-00000000000a'''),
    ('renew_lease release_lease',            'user_id',         'its user',     '''00000000-0000-0000-0000-00000000000a'''),
    ('set_usage_level add_usage_level acquire_lease attach_usage_gauge', 'limit_type', 'known name', '''places'''),
    ('detach_usage_gauge verify_usage_gauge', 'limit_type',     'known name',   '''rows_there'''),
    ('set_usage_level',                      'level',           'amount',       '3'),
    ('add_usage_level',                      'delta',           'change',       '3'),
    ('acquire_lease renew_lease',            'expires_in',      'hold or session', '''15 minutes'''),
    ('acquire_lease',                        'idempotency_key', 'text',         '''another key'''),
    ('renew_lease release_lease',            'lease_id',        'reservation',  '(SELECT max(id) FROM usage.usage_leases)'),
    ('attach_usage_gauge',                   'target',          'users table',  '''public.bad_input_users'''),
    ('detach_usage_gauge',                   'target',          'followed table', '''public.bad_input_rows'''),
    ('attach_usage_gauge',                   'user_column',     'column',       '''id'''),
    ('attach_usage_gauge',                   'amount_column',   'amount column', 'NULL'),
    ('grant_credits spend_credits set_credit_overdraft credit_balance', 'user_id', 'user', '''00000000-0000-0000-0000-00000000000a'''),
    ('refund_credits',                       'user_id',         'its user',     '''00000000-0000-0000-0000-00000000000a'''),
    ('refund_credits',                       'transaction_id',  'transaction',  '(SELECT id FROM usage.credit_ledger WHERE action = ''spend'')'),
    ('refund_credits',                       'amount',          'part',         '1.5'),
    ('grant_credits spend_credits',          'amount',          'positive',     '7'),
    ('set_credit_refill',                    'amount',          'amount or none', '7'),
    ('set_credit_cost',                      'credits',         'amount or none', '7'),
    ('set_credit_cost',                      'usage_type',      'known name',   '''image'''),
    ('set_credit_refill',                    'plan',            'known plan',   '''pro'''),
    ('set_credit_refill',                    'period',          'calendar period', '''1 month'''),
    ('set_credit_refill grant_credits',      'max_rollover',    'amount',       '3'),
    ('set_credit_overdraft',                 'overdraft',       'amount',       '7'),
    ('grant_credits spend_credits',          'transaction_type', 'new name',    '''bonus'''),
    ('grant_credits spend_credits refund_credits', 'reference_id', 'text',      '''another reference'''),
    ('grant_credits spend_credits refund_credits', 'description', 'free text',  '''what it is'''),
    ('grant_credits spend_credits refund_credits', 'metadata',  'metadata',     '''{}'''),
    ('grant_credits',                        'effective_at',    'grant begin',  '''2026-03-11'''),
    ('grant_credits',                        'expires_at',      'grant end',    '''2026-04-01'''),
    ('grant_credits',                        'rollover_until',  'rollover end', '''2026-05-01'''),
    ('grant_credits',                        'priority',        'integer',      '7'),
    ('credit_balance',                       'at',              'past',         '''2026-03-01'''),
    ('apply_stripe_event',                   'event',           'stripe event', '''{"id": "evt_2", "type": "nothing"}'''),
    ('set_stripe_price',                     'price',           'given text',   '''price_2'''),
    ('set_stripe_price',                     'plan',            'known plan',   '''pro'''),
    ('stripe_meter_events',                  'since',           'begin of all', '''2026-03-01'''),
    ('stripe_meter_events',                  'after_id',        'any id',       'NULL'),
    ('stripe_meter_events',                  'max_rows',        'many rows',    '7'),
    ('usage_maintenance',                    'max_seconds',     'seconds',      '600'),
    ('attach_usage_tally',                   'target',          'tally table',  '''public.bad_input_presets'''),
    ('attach_usage_tally',                   'source',          'tally table',  '''public.bad_input_uses'''),
    ('attach_usage_tally',                   'key',             'column',       '''id'''),
    ('attach_usage_tally',                   'source_key',      'column',       '''id'''),
    ('attach_usage_tally',                   'count_column',    'column',       '''more'''),
    ('attach_usage_tally',                   'last_used_column', 'column or none', '''at'''),
    ('attach_usage_tally',                   'used_at_column',  'time column',  '''at'''),
    ('attach_usage_tally',                   'user_column',     'any column or none', '''uses'''),
    ('detach_usage_tally sync_usage_tally verify_usage_tally popular_resources trending_resources get_top_resource_users get_usage_heatmap',
                                             'target',          'tally',        '''public.bad_input_presets'''),
    ('detach_usage_tally sync_usage_tally verify_usage_tally popular_resources trending_resources get_top_resource_users get_usage_heatmap',
                                             'count_column',    'tallied column', '''uses'''),
    ('detach_usage_tallies',                 'source',          'any table',    '''public.bad_input_uses'''),
    ('popular_resources trending_resources get_top_resource_users', 'max_rows', 'rows', '7'),
    ('trending_resources',                   'half_life',       'half life',    '''7 days'''),
    ('get_top_resource_users',               'resource_key',    'key',          '''1'''),
    ('get_usage_heatmap',                    'resource_key',    'key or none',  '''1'''),
    ('get_usage_heatmap',                    'days',            'days',         '7'),
    ('get_usage_heatmap',                    'time_zone',       'zone',         '''Europe/Berlin'''),
    ('start_run run_usage list_runs check_monthly_usage_limit get_run get_run_deliveries', 'user_id', 'user', '''00000000-0000-0000-0000-00000000000a'''),
    ('update_run succeed_run fail_run cancel_run record_delivery', 'user_id', 'its user', '''00000000-0000-0000-0000-00000000000a'''),
    ('update_run succeed_run fail_run cancel_run record_delivery', 'run_id', 'reservation', '(SELECT max(id) FROM usage.usage_runs)'),
    ('get_run get_run_deliveries',           'run_id',          'run to see',   '(SELECT max(id) FROM usage.usage_runs)'),
    ('start_run run_usage',                  'usage_type',      'known name',   '''image'''),
    ('start_run',                            'expires_in',      'hold',         '''1 hour'''),
    ('update_run',                           'expires_in',      'hold or none', '''1 hour'''),
    ('start_run',                            'counts',          'switch',       'false'),
    ('record_delivery',                      'delivered',       'switch',       'false'),
    ('start_run',                            'resource_type',   'text',         '''repository'''),
    ('start_run',                            'resource_id',     'text',         '''r/1'''),
    ('start_run',                            'configuration_id', 'text',        '''c/1'''),
    ('start_run',                            'configuration_snapshot', 'configuration', '''{}'''),
    ('start_run update_run succeed_run fail_run cancel_run', 'progress', 'metadata', '''{"done": 1}'''),
    ('succeed_run fail_run cancel_run',      'metadata',        'metadata',     '''{}'''),
    ('start_run',                            'tokens',          'count',        '7'),
    ('start_run',                            'cost',            'money',        '0.01'),
    ('start_run',                            'idempotency_key', 'text',         '''another key'''),
    ('succeed_run fail_run cancel_run',      'provider',        'text',         '''openai'''),
    ('succeed_run fail_run cancel_run',      'model',           'text',         '''gpt-4o'''),
    ('succeed_run fail_run cancel_run',      'cost',            'money or none', '0.01'),
    ('succeed_run fail_run cancel_run',      'service_tier',    'word',         '''batch'''),
    ('succeed_run fail_run cancel_run',      'input_tokens', 'tokens', '1'),
    ('succeed_run fail_run cancel_run',      'output_tokens', 'tokens', '1'),
    ('succeed_run fail_run cancel_run',      'cache_read_tokens', 'tokens', '1'),
    ('succeed_run fail_run cancel_run',      'cache_write_tokens', 'tokens', '1'),
    ('succeed_run fail_run cancel_run',      'cache_write_1h_tokens', 'tokens', '1'),
    ('succeed_run fail_run cancel_run',      'reasoning_tokens', 'tokens', '1'),
    ('succeed_run fail_run cancel_run',      'audio_input_tokens', 'tokens', '1'),
    ('succeed_run fail_run cancel_run',      'audio_cache_read_tokens', 'tokens', '1'),
    ('succeed_run fail_run cancel_run',      'audio_output_tokens', 'tokens', '1'),
    ('succeed_run fail_run cancel_run',      'image_input_tokens', 'tokens', '1'),
    ('succeed_run fail_run cancel_run',      'image_output_tokens', 'tokens', '1'),
    ('succeed_run',                          'output',          'free text',    '''# Report'''),
    ('succeed_run',                          'output_format',   'text',         '''markdown'''),
    ('fail_run',                             'error_message',   'cut text',     '''timeout'''),
    ('fail_run',                             'error_code',      'text',         '''rate_limit'''),
    ('record_delivery',                      'response_status', 'HTTP status or none', '200'),
    ('record_delivery',                      'error',           'cut text',     '''timeout'''),
    ('record_delivery',                      'delivery_id',     'text',         '''d/1'''),
    ('list_runs',                            'max_rows',        'rows',         '7'),
    ('list_runs',                            'skip_rows',       'rows to skip', '7'),
    ('list_runs',                            'before_id',       'any id',       '7'),
    ('check_monthly_usage_limit',            'max_runs',        'runs',         '50')
    ) AS v (functions, argument, kind, good);

-- ---- the nasty values: 00000 is legal, else what it is refused with ----

CREATE TEMP TABLE nasty (kind text, sqlstate text, value text);
INSERT INTO nasty
SELECT kind, sqlstate, value FROM (VALUES
    ('user, its user', '22004', ARRAY['NULL']),
    ('user or nobody', '00000', ARRAY['NULL']),
    ('known name, new name, known plan, role', '22004', ARRAY['NULL']),
    ('new name or all, known plan or all, known name or all', '00000', ARRAY['NULL']),
    ('known name, known name or all, new name, new name or all, known plan, known plan or all, role', '22023', ARRAY[
        '''''', ''' ''', '''Video''', '''1video''', '''_video''', '''vid eo''', '''video ''', ''' video''', 'E''video\n''', 'E''vi\tdeo''', 'E''video\x01''',
        '''vidéo''', '''🎬''', 'U&''video\200B''', 'U&''\202Evideo''', 'U&''\0456vent''', '''video''''); DROP TABLE usage.plans; --''', '''"video"''', '''%s''', '''a/b''',
        'repeat(''a'', 64)', 'repeat(''a'', 300)', 'repeat(''a'', 10000000)']),
    ('known plan, known plan or all, role', '22023', ARRAY['''a.b''', '''a:b''']),
    ('known name, known name or all, known plan, known plan or all', 'UT004', ARRAY['''vidoe''', 'repeat(''a'', 63)', '''null''']),
    ('new name, new name or all, role', '00000', ARRAY['repeat(''a'', 63)', '''a''', '''a-_9''', '''select''']),
    ('new name, new name or all', '00000', ARRAY['''a.b:c''']),
    ('positive, percent, amount, money, count, maximum', '22004', ARRAY['NULL']),
    ('count or none, maximum or none, amount or none, money or none, part', '00000', ARRAY['NULL']),
    ('amount or none, money or none', '00000', ARRAY['0']),
    ('part', '22023', ARRAY['2.500000001', '1e28']),
    ('part', '00000', ARRAY['2.5', '0.000000001']),
    ('reservation, event, alert', '22004', ARRAY['NULL']),
    ('reservation, event, alert', '22023', ARRAY['0', '-1', '9223372036854775807', '-9223372036854775808']),
    ('event', '22023', ARRAY['(SELECT max(id) FROM usage.usage_events)', '(SELECT id FROM usage.usage_events WHERE quantity = 1 AND model IS NULL)']),
    ('reservation, event, alert', '22003', ARRAY['''9223372036854775808''']),
    ('any id', '00000', ARRAY['NULL', '0', '-9223372036854775808', '9223372036854775807']),
    ('rows', '22004', ARRAY['NULL']),
    ('rows', '22023', ARRAY['0', '-1', '1001', '-2147483648', '2147483647']),
    ('rows', '22003', ARRAY['''2147483648''']),
    ('rows', '00000', ARRAY['1', '1000']),
    ('throttle', '22023', ARRAY['''0''', '''-1 second''', '''1 day -24 hours''', '''100 years 1 microsecond''', '''178000000 years''', '''-178000000 years''', '''2147483647 days''']),
    ('throttle', '22007', ARRAY['''''', '''soon''']),
    ('throttle', '00000', ARRAY['NULL', '''1 microsecond''', '''100 years''', '''1 month -29 days''']),
    ('hold', '22004', ARRAY['NULL']),
    ('change', '22004', ARRAY['NULL']),
    ('change', '22023', ARRAY['''NaN''', '''Infinity''', '''-Infinity''']),
    ('change', '22003', ARRAY['-7.000000001', '-8', '-1e28', '1e29', '-1e29', '1e131000', '-1e131000', '0.0000000001', '-0.0000000001', 'repeat(''9'', 131072)::numeric']),
    ('change', '22P02', ARRAY['''''', '''1,5''']),
    ('change', '00000', ARRAY['0', '-7', '-0.000000001', '1e28', '1.000000000000000']),
    ('hold or session', '00000', ARRAY['NULL']),
    ('hold, hold or session', '22023', ARRAY['''0''', '''-1 second''', '''1 day -24 hours''', '''367 days''', '''178000000 years''', '''-178000000 years''', '''2147483647 days''', '''366 days 1 microsecond''']),
    ('hold, hold or session', '22007', ARRAY['''''', '''soon''']),
    ('hold, hold or session', '00000', ARRAY['''1 microsecond''', '''366 days''', '''1 month -29 days''']),
    ('batch', '22004', ARRAY['NULL']),
    ('batch', '22023', ARRAY['''{}''', '''null''', '''"x"''', '''7''', '(SELECT jsonb_agg(n) FROM generate_series(1, 100001) AS n)']),
    ('batch', '22P02', ARRAY['''''', '''[''']),
    ('batch', '00000', ARRAY['''[]''', '''[null]''', '''[[]]''', '''[{}]''', '''[{"user_id": 7}]''', '''[{"user_id": {}}]''', '''[{"": 1}]''',
        '(repeat(''['', 900) || repeat('']'', 900))::jsonb', '(SELECT jsonb_agg(n) FROM generate_series(1, 100000) AS n)']),
    ('positive, percent, part', '22023', ARRAY['0', '0.000000000']),
    ('amount, money, count, count or none, maximum, maximum or none', '00000', ARRAY['0']),
    ('positive, percent, amount, amount or none, money, money or none, part', '22023', ARRAY['-1', '-0.000000001', '-1e131000']),
    ('maximum, maximum or none', '22023', ARRAY['-2', '-0.5', '-1.000000001', '-1e131000']),
    ('maximum, maximum or none', '00000', ARRAY['-1', '-1.000000000000']),
    ('positive, percent, amount, amount or none, money, money or none, part, maximum, maximum or none', '22023', ARRAY['''NaN''', '''Infinity''', '''-Infinity''', '-0.0000000001']),
    ('positive, percent, amount, amount or none, money, money or none, part, maximum, maximum or none', '22003', ARRAY['1e29', '1e131000', '''1e131071''', '''1e-16383''',
        'repeat(''9'', 131072)::numeric', '1.0000000000000000000000000000001']),
    ('positive, percent, amount, amount or none, part, maximum, maximum or none', '22003', ARRAY['0.0000000001', '1.0000000001', '99999999999999999999999999999.9999999999']),
    ('money, money or none', '00000', ARRAY['0.000000000001', '1.000000000000000000000000000001']),
    ('positive, percent, amount, amount or none, money, money or none, part, maximum, maximum or none', '22P02', ARRAY['''''', '''1,5''', '''one''']),
    ('positive, percent, amount, amount or none, money, money or none, maximum, maximum or none', '00000', ARRAY['0.000000001', '1e28', '99999999999999999999999999999.999999999', '1.000000000000000']),
    ('count, count or none', '22023', ARRAY['-1', '-9223372036854775808']),
    ('count, count or none', '22003', ARRAY['''9223372036854775808''']),
    ('count, count or none', '00000', ARRAY['9223372036854775807']),

    ('tokens', '22004', ARRAY['NULL']),
    ('tokens', '22023', ARRAY['-1', '-9223372036854775808']),
    ('tokens', '22003', ARRAY['9223372036854775807', '''9223372036854775808''']),
    ('tokens', '00000', ARRAY['0', '9223372036854774000']),
    ('address', '00000', ARRAY['NULL', '''255.255.255.255''', '''10.0.0.0/8''', '''::1''', '''fe80::/10''', '''::ffff:192.0.2.1''', '''0.0.0.0/0''']),
    ('address', '22P02', ARRAY['''''', '''192.0.2''', '''192.0.2.256''', '''192.0.2.1/33''', '''::1%eth0''', '''localhost''', '''''''); DROP TABLE usage.plans; --''', 'repeat(''1'', 1000000)::inet']),

    ('stripe event', '22004', ARRAY['NULL']),
    ('stripe event', '22023', ARRAY['''{}''', '''[]''', '''null''', '''7''', '''"evt_1"''', '''{"id": "evt_2"}''', '''{"type": "invoice.paid"}''', '''{"id": 7, "type": "invoice.paid"}''',
        '''{"id": "evt_2", "type": "customer.subscription.updated"}''', '''{"id": "evt_2", "type": "customer.subscription.updated", "created": 1e400, "data": {"object": {"id": "s", "customer": "c", "status": "active"}}}''',
        '''{"id": "evt_2", "type": "customer.subscription.updated", "created": 7, "data": {"object": {"id": "s", "customer": "c", "status": "free"}}}''',
        'jsonb_build_object(''id'', repeat(''x'', 256), ''type'', ''invoice.paid'')', 'jsonb_build_object(''id'', ''evt_2'', ''type'', repeat(''x'', 1000000))',
        '(repeat(''['', 900) || repeat('']'', 900))::jsonb']),
    ('stripe event', '22P02', ARRAY['''''', '''{''']),
    ('stripe event', '22P05', ARRAY['''{"id": "\u0000", "type": "invoice.paid"}''']),
    ('stripe event', '00000', ARRAY['''{"id": "evt_1", "type": "invoice.paid"}''', '''{"id": "evt_2", "type": "customer.subscription.updated", "created": 253402300799, "data": {"object": {"id": "s", "customer": "c", "status": "active", "items": {"data": [7]}}}}''',
        '''{"id": "''''); DROP TABLE usage.plans; --", "type": "customer.subscription.deleted", "created": 0, "data": {"object": {"id": "%s", "customer": "🎬", "status": "canceled", "metadata": {"user_id": {"a": 1}}}}}''',
        'jsonb_build_object(''id'', repeat(''🎬'', 255), ''type'', ''x'')']),
    ('given text', '22004', ARRAY['NULL']),
    ('given text', '22023', ARRAY['''''', 'repeat(''x'', 256)', 'repeat(''é'', 256)', 'repeat(''x'', 1000000)']),
    ('given text', '00000', ARRAY['repeat(''🎬'', 255)', ''' ''', '''%s%n''', '''''''); DROP TABLE usage.plans; --''']),
    ('begin of all', '22004', ARRAY['NULL']),
    ('begin of all', '22008', ARRAY['''infinity''', '''-infinity''', '''2026-02-30''']),
    ('begin of all', '22007', ARRAY['''''', '''soon''']),
    ('begin of all', '00000', ARRAY['''4714-11-24 00:00:00+00 BC''', '''294276-12-31 23:59:59.999999+00''']),
    ('many rows', '22004', ARRAY['NULL']),
    ('many rows', '22023', ARRAY['0', '-1', '100001', '-2147483648', '2147483647']),
    ('many rows', '22003', ARRAY['''2147483648''']),
    ('many rows', '00000', ARRAY['1', '100000']),

    ('campaign', '22004', ARRAY['NULL']),
    ('campaign', '22023', ARRAY['''''', 'repeat(''x'', 256)', 'repeat(''é'', 256)', 'repeat(''x'', 1000000)']),
    ('campaign', '00000', ARRAY['repeat(''🎬'', 255)', ''' ''', '''%s%n''', '''''''); DROP TABLE usage.plans; --''']),
    ('text', '00000', ARRAY['NULL']),
    ('text', '22023', ARRAY['''''', 'repeat(''x'', 256)', 'repeat(''é'', 256)', 'repeat(''x'', 300)', 'repeat(''x'', 1000000)']),
    ('text', '00000', ARRAY['repeat(''x'', 255)', 'repeat(''é'', 255)', 'repeat(''🎬'', 255)']),
    ('cut text', '00000', ARRAY['NULL', '''''', 'repeat(''x'', 1000000)', 'repeat(''🎬'', 1001)']),
    ('free text', '00000', ARRAY['NULL', '''''', 'repeat(''x'', 300)']),
    ('text, cut text, free text', '00000', ARRAY[''' ''', 'E''a\r\nb\tc\x01''', '''🎬''', 'U&''\202Ecod.exe''', 'U&''a\200Bb''', '''''''); DROP TABLE usage.plans; --''',
        '''<script>alert(1)</script>''', '''=1+1''', '''%s%n''', '''\''']),
    ('metadata', '00000', ARRAY['NULL', '''null''', '''[]''', '''"text"''', '''{"a": 1, "a": 2}''', '''{"n": 1e400}''', '(repeat(''['', 900) || repeat('']'', 900))::jsonb',
        '(repeat(''{"a":'', 900) || ''1'' || repeat(''}'', 900))::jsonb', 'jsonb_build_object(''x'', repeat(''y'', 1000000))']),
    ('metadata', '00000', ARRAY['''{"authorization": {"a": 1}}''', '''[{"token": [1, 2]}, "token"]''', '''{"": {"": ""}}''', '''"authorization"''', '''[["password"]]''',
        '(repeat(''{"token":'', 900) || ''1'' || repeat(''}'', 900))::jsonb', 'jsonb_build_object(''token'', repeat(''y'', 1000000))',
        '(SELECT jsonb_object_agg(''key'' || n, n) FROM generate_series(1, 20000) AS n)', 'jsonb_build_object(repeat(''k'', 100000), 1)']),
    ('metadata', '22P02', ARRAY['''''', '''{''', '''{"a": NaN}''']),
    ('metadata', '22P05', ARRAY['''{"a": "\u0000"}''']),

    ('status, word, measure, switch, statuses', '22004', ARRAY['NULL']),
    ('status, word', '22023', ARRAY['''cost''']),
    ('measure', '00000', ARRAY['''cost''', '''tokens''', '''quantity''']),
    ('status, word, measure', '22023', ARRAY['''''', ''' ''', '''Success''', '''success ''', '''hard ''', '''HARD''', '''Calendar''', '''daily''', '''correction''', '''delete''',
        '''🎬''', '''''''); DROP TABLE usage.plans; --''', 'repeat(''x'', 300)', 'repeat(''x'', 1000000)']),
    ('status', '00000', ARRAY['''error''', '''failed''', '''cancelled''', '''rate_limited''']),
    ('statuses', '22023', ARRAY['''{}''', '''{NULL}''', '''{success,NULL}''', '''{ok}''', '''{success,""}''', '''{error}''', '''{Success}''', '''{{success},{failed}}''',
        '''{{NULL}}''', 'array_fill(''x''::text, ARRAY[10000])', 'array_fill(''success''::text, ARRAY[1000000])']),
    ('statuses', '00000', ARRAY['''{success}''', '''{failed,cancelled,rate_limited,success}''', '''[5:5]={success}''']),
    ('switch', '22P02', ARRAY['''''', '''perhaps''']),

    ('price list, usage object', '22004', ARRAY['NULL']),
    ('price list, usage object', '22023', ARRAY['''[]''', '''null''', '''"x"''', '''7''']),
    ('price list, usage object', '22P02', ARRAY['''''', '''{''', '''{"a": NaN}''']),
    ('price list', '00000', ARRAY['''{"": {}}''', '''{"x": 7}''', '''{"x": {"litellm_provider": 7}}''', '''{"x": {"litellm_provider": "y", "input_cost_per_token": "1"}}''',
        '''{"x": {"litellm_provider": "y", "input_cost_per_token": -1}}''', '''{"x": {"litellm_provider": "y", "input_cost_per_token": 1e400, "tiered_pricing": [7, {"range": 7}]}}''',
        '''{"x": {"litellm_provider": "y", "mode": 7, "tiered_pricing": [{"range": [1e400], "input_cost_per_token": 1}], "search_context_cost_per_query": 7}}''',
        'jsonb_build_object(repeat(''x'', 300), ''{}''::jsonb)', '(repeat(''{"a":'', 900) || ''1'' || repeat(''}'', 900))::jsonb']),
    ('usage object', '22023', ARRAY['''{"usage": 7}''', '''{"usage": null}''']),
    ('usage object', '00000', ARRAY['''{"usage": {}, "model": 7}''', '''{"input_tokens": null}''', '''{"prompt_tokens_details": 7}''', '''{"input_tokens": 999999999999999999}''']),
    ('size', '22023', ARRAY['''''', '''1024''', '''1024x''', '''x1024''', '''1024x1024x1''', '''1024X1024''', '''-1x1024''', '''0x1024''', '''1024x0''', '''1024x100001''', '''99999999999999999999x1''',
        ''' 1024x1024''', '''1024x1024 ''', '''1e3x1''', '''1024×1024''', 'repeat(''1'', 1000000)']),
    ('size', '00000', ARRAY['NULL', '''1x1''', '''1024-x-1024''', '''100000x100000''']),

    ('time, event time, anchor', '00000', ARRAY['NULL']),
    ('time, event time, anchor', '22008', ARRAY['''infinity''', '''-infinity''', '''2026-02-30''', '''294277-01-01''']),
    ('time', '00000', ARRAY['''4714-11-24 00:00:00+00 BC''', '''294276-12-31 23:59:59.999999+00''', '''epoch''']),
    ('anchor', '22008', ARRAY['''4714-11-24 00:00:00+00 BC''', '''0001-12-31 23:59:59.999999+00 BC''', '''10000-01-01 00:00+00''', '''294276-12-31 23:59:59.999999+00''']),
    ('anchor', '00000', ARRAY['''0001-01-01 00:00+00''', '''9999-12-31 23:59:59.999999+00''', '''epoch''']),
    ('event time', 'UT006', ARRAY['''4714-11-24 00:00:00+00 BC''', '''294276-12-31 23:59:59.999999+00''', '''epoch''', '''2026-02-02 12:00+00''',
        '''2026-02-03 11:59:59.999999+00''', '''2026-03-10 12:05:00.000001+00''', '''2026-03-10 12:06+00''']),
    ('event time', '00000', ARRAY['''2026-02-03 12:00+00''', '''2026-03-10 12:05+00''', '''2026-03-10 23:05+11''']),
    ('from, to', '22004', ARRAY['NULL']),
    ('from, to', '22008', ARRAY['''infinity''', '''-infinity''', '''2026-02-30''']),
    ('from, to', '22007', ARRAY['''''', '''soon''']),
    ('from', '22023', ARRAY['''2026-04-01 00:00:00.000001+00''', '''294276-12-31 23:59:59.999999+00''']),
    ('from', '00000', ARRAY['''4714-11-24 00:00:00+00 BC''', '''2026-04-01 00:00+00''']),
    ('to', '22023', ARRAY['''2026-02-28''', '''4714-11-24 00:00:00+00 BC''']),
    ('to', '00000', ARRAY['''2026-03-01 00:00+00''', '''294276-12-31 23:59:59.999999+00''']),
    ('begin, end', '22004', ARRAY['NULL']),
    ('begin, end', '22008', ARRAY['''infinity''', '''-infinity''', '''2026-02-30''']),
    ('begin, end', '22007', ARRAY['''''', '''soon''']),
    ('begin', '22023', ARRAY['''2026-05-01''', '''294276-12-31 23:59:59.999999+00''']),
    ('begin', '00000', ARRAY['''4714-11-24 00:00:00+00 BC''', '''2026-04-30 23:59:59.999999+00''']),
    ('end', '22023', ARRAY['''2026-04-01''', '''4714-11-24 00:00:00+00 BC''']),
    ('end', '00000', ARRAY['''2026-04-01 00:00:00.000001+00''', '''294276-12-31 23:59:59.999999+00''']),
    ('period start', '22023', ARRAY['NULL', '''2026-04-01''', '''2027-01-01''', '''infinity''']),
    ('period end', '22023', ARRAY['NULL', '''2026-03-01''', '''2025-01-01''', '''-infinity''']),
    ('period start', '22008', ARRAY['''-infinity''']),
    ('period end', '22008', ARRAY['''infinity''']),
    ('period start', '22008', ARRAY['''4714-11-24 00:00:00+00 BC''', '''0001-12-31 23:59:59.999999+00 BC''']),
    ('period end', '22008', ARRAY['''10000-01-01 00:00+00''', '''294276-12-31 23:59:59.999999+00''']),
    ('period start', '22023', ARRAY['''1925-01-01''', '''2026-03-31 23:59:59.000001+00''']),
    ('period end', '22023', ARRAY['''2026-03-01 00:00:00.999999+00''', '''2126-06-01''', '''9999-12-31 23:59:59.999999+00''']),
    ('period start', '00000', ARRAY['''1926-04-01''', '''2026-03-31 23:59:59+00''']),
    ('period end', '00000', ARRAY['''2026-03-01 00:00:01+00''', '''2126-03-01''']),
    ('time, event time, anchor, period start, period end', '22007', ARRAY['''''', '''soon''']),

    ('zone', '00000', ARRAY['NULL', '''europe/berlin''', '''UTC''', '''Etc/GMT-14''', '''Asia/Kathmandu''']),
    ('zone', '22023', ARRAY['''''', ''' ''', '''UTC ''', ''' UTC''', '''Mars/Olympus_Mons''', '''CEST''', '''%n%s''', '''<%s>0''', '''../../../etc/passwd''', '''/etc/localtime''', '''Europe''',
        '''right/UTC''', '''+05:00''', 'E''UTC\n''', '''🎬''', '''UTC''''); DROP TABLE usage.plans; --''', 'repeat(''A'', 255)', 'repeat(''A'', 256)', 'repeat(''A'', 300)', 'repeat(''x'', 1000000)']),

    ('period', '22023', ARRAY['NULL', '''0''', '''-1 day''', '''1 day -1 hour''', '''1 month -30 days''', '''1 day 1 second''', '''1 microsecond''', '''2 days''', '''13 months''',
        '''178000000 years''', '''-178000000 years''', '''2147483647 days''']),
    ('period', '22015', ARRAY['''1000000000000 years''']),
    ('period', '22007', ARRAY['''''', '''daily''']),
    ('period', '00000', ARRAY['''1 hour''', '''1 day''', '''1 month''', '''3 months''', '''12 months''']),

    ('calendar period', '22004', ARRAY['NULL']),
    ('calendar period', '22023', ARRAY['''0''', '''-1 day''', '''24 hours''', '''30 days''', '''1 day -1 hour''', '''1 day 1 second''', '''1 microsecond''', '''2 days''', '''13 months''', '''178000000 years''',
        '''-178000000 years''', '''2147483647 days''']),
    ('calendar period', '22007', ARRAY['''''', '''daily''']),
    ('calendar period', '00000', ARRAY['''1 hour''', '''1 day''', '''7 days''', '''1 month''', '''3 months''', '''12 months''']),
    ('transaction', '22004', ARRAY['NULL']),
    ('transaction', '22023', ARRAY['0', '-1', '9223372036854775807', '-9223372036854775808', '(SELECT id FROM usage.credit_ledger WHERE action = ''grant'')']),
    ('transaction', '22003', ARRAY['''9223372036854775808''']),
    ('grant begin, past', '00000', ARRAY['NULL']),
    ('grant end', '22023', ARRAY['NULL']),    -- it could not roll over
    ('grant begin, grant end, rollover end, past', '22008', ARRAY['''infinity''', '''-infinity''', '''2026-02-30''']),
    ('grant begin, grant end, rollover end, past', '22007', ARRAY['''''', '''soon''']),
    ('grant begin', '22023', ARRAY['''2026-03-10 11:59:59.999999+00''', '''4714-11-24 00:00:00+00 BC''', '''2026-04-01''', '''294276-12-31 23:59:59.999999+00''']),
    ('grant begin', '00000', ARRAY['''2026-03-10 12:00+00''', '''2026-03-31 23:59:59.999999+00''']),
    ('grant end', '22023', ARRAY['''2026-03-11''', '''2026-03-10''', '''4714-11-24 00:00:00+00 BC''', '''2026-05-01''', '''294276-12-31 23:59:59.999999+00''']),
    ('grant end', '00000', ARRAY['''2026-03-11 00:00:00.000001+00''', '''2026-04-30 23:59:59.999999+00''']),
    ('rollover end', '22023', ARRAY['NULL', '''2026-04-01''', '''4714-11-24 00:00:00+00 BC''']),
    ('rollover end', '00000', ARRAY['''2026-04-01 00:00:00.000001+00''', '''294276-12-31 23:59:59.999999+00''']),
    ('integer', '22004', ARRAY['NULL']),
    ('integer', '22003', ARRAY['''2147483648''', '''-2147483649''']),
    ('integer', '22P02', ARRAY['''''', '''1.5''']),
    ('integer', '00000', ARRAY['0', '-2147483648', '2147483647']),
    ('past', '22023', ARRAY['''2026-03-10 12:00:00.000001+00''', '''294276-12-31 23:59:59.999999+00''']),
    ('past', '00000', ARRAY['''2026-03-10 12:00+00''', '''epoch''', '''4714-11-24 00:00:00+00 BC''']),
    ('users table, followed table, column', '22004', ARRAY['NULL']),
    ('followed table', '55000', ARRAY['''public.bad_input_users''', '''usage.plans''']),
    ('amount column', '00000', ARRAY['NULL']),
    ('amount column', '42703', ARRAY['''''', '''ID''', '''ctid''', '''''''); DROP TABLE usage.plans; --''', 'repeat(''x'', 300)']),
    ('amount column', '42804', ARRAY['''born''', '''email''']),
    ('users table, followed table', '42P01', ARRAY['0', '4000000000', '''public.bad_input_nothing''']),
    ('users table, followed table', '42809', ARRAY['''public.bad_input_view''', '''usage.user_usage''', '''usage.api_usage''', '''usage.usage_events_id_seq''', '''usage.plans_pkey''']),
    ('users table', '42703', ARRAY['''usage.plans''']),
    ('users table', '00000', ARRAY['''public.bad_input_more''']),
    ('column', '42703', ARRAY['''''', ''' ''', '''ID''', '''nothing''', '''ctid''', '''''''); DROP TABLE usage.plans; --''', '''🎬''', 'repeat(''x'', 300)']),
    ('column', '42804', ARRAY['''born''']),
    ('email', '22004', ARRAY['NULL']),
    ('email', 'P0002', ARRAY['''''', ''' ''', '''%''', '''ann@example.com ''', '''ann@example''', '''🎬''', '''''''); DROP TABLE usage.plans; --''', 'repeat(''x'', 255)']),
    ('email', '22023', ARRAY['repeat(''x'', 300)', 'repeat(''x'', 1000000)']),
    ('email', '00000', ARRAY['''ANN@EXAMPLE.COM''']),
    ('database role', '22004', ARRAY['NULL']),
    ('database role', '42704', ARRAY['''''', ''' ''', '''none''', '''regress_ut_nobody''', '''REGRESS_UT_BAD_INPUT''', '''''''); DROP TABLE usage.plans; --''', '''"''', 'repeat(''x'', 300)']),
    ('database role', '22023', ARRAY['''public''']),

    ('month', '22004', ARRAY['NULL']),
    ('month', '22008', ARRAY['''infinity''', '''-infinity''', '''4713-01-01 BC''', '''0001-12-31 BC''', '''10000-01-01''', '''5874897-12-31''', '''2026-13-01''']),
    ('month', '22007', ARRAY['''''', '''March''']),
    ('month', '00000', ARRAY['''0001-01-01''', '''9999-12-31''', '''2024-02-29''', '''2026-03-15''']),
    ('first day, last day', '22008', ARRAY['''infinity''', '''-infinity''', '''4713-01-01 BC''', '''0001-12-31 BC''', '''10000-01-01''', '''5874897-12-31''', '''2026-13-01''']),
    ('first day, last day', '22007', ARRAY['''''', '''March''']),
    ('first day, last day', '00000', ARRAY['NULL', '''2026-03-15''']),
    ('first day', '22023', ARRAY['''2026-04-01''', '''9999-12-31''']),
    ('first day', '00000', ARRAY['''0001-01-01''', '''2026-03-31''']),
    ('last day', '22023', ARRAY['''0001-01-01''', '''2026-02-28''']),
    ('last day', '00000', ARRAY['''2026-03-01''', '''9999-12-31''']),
    ('any id', '00000', ARRAY['NULL', '0', '-1', '9223372036854775807', '-9223372036854775808']),
    ('any id, width', '22003', ARRAY['''9223372036854775808''']),
    ('rows, days, width', '22004', ARRAY['NULL']),
    ('rows, days, width', '22023', ARRAY['0', '-1']),
    ('rows, days', '22003', ARRAY['''2147483648''']),
    ('rows', '22023', ARRAY['1001', '2147483647', '-2147483648']),
    ('rows', '00000', ARRAY['1', '1000']),
    ('days', '22023', ARRAY['3661', '2147483647', '-2147483648']),
    ('days', '00000', ARRAY['1', '3660']),
    ('width', '22023', ARRAY['-9223372036854775808']),
    ('width', '00000', ARRAY['1', '9223372036854775807']),
    ('HTTP status or none', '00000', ARRAY['NULL', '100', '599']),
    ('HTTP status or none', '22023', ARRAY['0', '-1', '99', '600', '2147483647']),
    ('HTTP status or none, rows to skip, runs', '22003', ARRAY['''2147483648''']),
    ('rows to skip, runs', '22004', ARRAY['NULL']),
    ('rows to skip', '22023', ARRAY['-1', '1000001', '-2147483648']),
    ('rows to skip', '00000', ARRAY['0', '1000000']),
    ('runs', '22023', ARRAY['-2', '-2147483648']),
    ('runs', '00000', ARRAY['-1', '0', '2147483647']),
    ('run to see', '22004', ARRAY['NULL']),
    ('run to see', '00000', ARRAY['0', '-1', '9223372036854775807', '-9223372036854775808']),
    ('hold or none', '00000', ARRAY['NULL', '''1 microsecond''', '''366 days''']),
    ('hold or none', '22023', ARRAY['''0''', '''-1 day''', '''367 days''', '''178000000 years''', '''366 days 1 microsecond''']),
    ('hold or none', '22007', ARRAY['''''', '''soon''']),
    ('configuration', '00000', ARRAY['NULL', '''null''', '''[]''', 'jsonb_build_object(''x'', repeat(''y'', 65000))', '(repeat(''['', 900) || repeat('']'', 900))::jsonb']),
    ('configuration', '22023', ARRAY['jsonb_build_object(''x'', repeat(''y'', 65536))', '(SELECT jsonb_object_agg(''key'' || n, n) FROM generate_series(1, 20000) AS n)']),
    ('configuration', '22P02', ARRAY['''''', '''{''', '''{"a": NaN}''']),
    ('configuration', '22P05', ARRAY['''{"a": "\u0000"}''']),
    ('seconds', '22004', ARRAY['NULL']),
    ('seconds', '22023', ARRAY['0', '-1', '-2147483648']),
    ('seconds', '22003', ARRAY['''2147483648''']),
    ('seconds', '00000', ARRAY['2147483647']),
    ('tally table, tally, tallied column, any table, key, half life', '22004', ARRAY['NULL']),
    ('tally table, tally, any table', '42P01', ARRAY['0', '4000000000', '''public.bad_input_nothing''']),
    ('tally table', '42809', ARRAY['''public.bad_input_view''', '''usage.user_usage''', '''usage.usage_events_id_seq''', '''usage.plans_pkey''']),
    ('tally table', '42703', ARRAY['''usage.plans''']),
    ('tally', '55000', ARRAY['''public.bad_input_uses''', '''public.bad_input_view''', '''usage.plans''', '''usage.plans_pkey''']),
    ('tallied column', '55000', ARRAY['''''', '''USES''', '''more''', '''ctid''', '''''''); DROP TABLE usage.plans; --''', '''🎬''', 'repeat(''x'', 300)']),
    ('any table', '00000', ARRAY['''public.bad_input_more''', '''public.bad_input_view''']),
    ('column or none', '42703', ARRAY['''''', '''nothing''', '''ctid''', '''''''); DROP TABLE usage.plans; --''']),
    ('column or none, any column or none', '00000', ARRAY['NULL']),
    ('column or none', '42804', ARRAY['''born''']),
    ('any column or none', '42703', ARRAY['''''', '''nothing''', '''ctid''', '''''''); DROP TABLE usage.plans; --''']),
    ('any column or none', '00000', ARRAY['''born''']),
    ('time column', '22023', ARRAY['NULL']),
    ('time column', '42703', ARRAY['''''', '''nothing''', '''ctid''']),
    ('time column', '42804', ARRAY['''born''']),
    ('half life', '22023', ARRAY['''0''', '''-1 day''', '''0.9 seconds''', '''10 years 1 day''', '''178000000 years''', '''-178000000 years''', '''2147483647 days''']),
    ('half life', '22007', ARRAY['''''', '''soon''']),
    ('half life', '00000', ARRAY['''1 second''', '''10 years''']),
    ('key, key or none', '22P02', ARRAY['''''', '''x''', '''1''''); DROP TABLE usage.plans; --''']),
    ('key, key or none', '22003', ARRAY['''9223372036854775808''']),
    ('key, key or none', '00000', ARRAY['''0''', '''-1''']),
    ('key or none', '00000', ARRAY['NULL'])
    ) AS v (kinds, sqlstate, "values"), string_to_table(kinds, ', ') AS kind, unnest("values") AS value;

/* What is an id depends on its type; a legal one is still not whose thing it is. */
INSERT INTO nasty
SELECT kind, CASE WHEN kind = 'its user' AND sqlstate = '00000' THEN '22023' ELSE sqlstate END, value FROM (VALUES
    ('id_uuid', '22P02', ARRAY['''''', '''ann''', '''00000000-0000-0000-0000-00000000000g''', 'repeat(''1'', 1000000)::uuid']),
    ('id_uuid', '00000', ARRAY['''00000000-0000-0000-0000-000000000000''', '''FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF''']),
    ('id_text', '22023', ARRAY['''''', 'repeat(''x'', 256)', 'repeat(''é'', 256)', 'repeat(''🎬'', 256)', 'repeat(''x'', 1000000)']),
    ('id_text', '00000', ARRAY[''' ''', '''ann''', 'repeat(''x'', 255)', 'repeat(''🎬'', 255)', 'E''a\r\nb\x01''', '''''''); DROP TABLE usage.plans; --''', '''%s%n''']),
    ('id_bigint', '22P02', ARRAY['''''', '''ann''', '''1.5''', '''0x1g''', 'repeat(''x'', 1000000)::bigint']),
    ('id_bigint', '22003', ARRAY['''9223372036854775808''', '''-9223372036854775809''', '1e20::bigint']),
    ('id_bigint', '00000', ARRAY['0', '-1', '9223372036854775807', '''-9223372036854775808'''])
    ) AS v (type, sqlstate, "values"), unnest("values") AS value, unnest('{user,its user,user or nobody}'::text[]) AS kind
 WHERE type = 'id_' || pg_typeof(current_user_id());

-- ---- the one way to call ----

/* Everything the extension keeps, grants and answers, in one number. */
CREATE FUNCTION pg_temp.state() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    relation regclass;
    sum text;
    sums text := '';
BEGIN
    FOR relation IN SELECT oid FROM pg_class WHERE relnamespace = 'usage'::regnamespace AND relkind = 'r' ORDER BY oid LOOP
        EXECUTE format('SELECT md5(string_agg(t::text, '' '' ORDER BY t::text COLLATE "C")) FROM %s AS t', relation) INTO sum;
        sums := sums || relation::oid || coalesce(sum, '-');
    END LOOP;
    RETURN md5(concat(sums,
        (SELECT string_agg(w::text, ' ' ORDER BY user_id, limit_type) FROM user_usage AS w),
        (SELECT string_agg(t.usage_type || check_usage_limit('00000000-0000-0000-0000-00000000000a', t.usage_type), ' ' ORDER BY 1) FROM usage_types AS t),
        (SELECT string_agg(p.oid || p.proacl::text, ' ' ORDER BY p.oid) FROM pg_proc AS p WHERE p.pronamespace = 'usage'::regnamespace),
        (SELECT string_agg(c.oid || c.relacl::text, ' ' ORDER BY c.oid) FROM pg_class AS c WHERE c.relnamespace = 'usage'::regnamespace),
        (SELECT string_agg(t.oid::text, ' ' ORDER BY t.oid) FROM pg_trigger AS t)));
END $$;
CREATE TEMP TABLE before AS SELECT pg_temp.state();

/* What a call ends with; whatever it did is undone, and must be. */
CREATE FUNCTION pg_temp.outcome(call text, OUT code text, OUT message text) LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        EXECUTE call;
        RAISE EXCEPTION USING ERRCODE = 'ZZ000';
    EXCEPTION WHEN OTHERS THEN
        code := replace(SQLSTATE, 'ZZ000', '00000');
        message := SQLERRM;
    END;
    IF pg_temp.state() <> (SELECT state FROM before) THEN
        code := code || ' and left a trace';
    END IF;
END $$;

CREATE FUNCTION pg_temp.call(called name, changed name, value text) RETURNS text LANGUAGE sql AS $$
    SELECT format('SELECT %s(%s)', called, string_agg(format('%I => %s', a.argument, CASE a.argument WHEN changed THEN value ELSE a.good END), ', '))
      FROM argument AS a WHERE a.function = called
$$;

-- ---- all of it ----

/* Not for SQL callers: names with an underscore in front, and trigger functions. */
CREATE TEMP VIEW in_catalog AS
SELECT p.proname AS function, n AS argument
  FROM pg_depend AS d JOIN pg_extension AS x ON x.oid = d.refobjid AND x.extname = 'usage_tracking'
  JOIN pg_proc AS p ON p.oid = d.objid AND d.classid = 'pg_proc'::regclass,
       unnest(p.proargnames[1:p.pronargs]) AS n
 WHERE d.refclassid = 'pg_extension'::regclass AND p.proname NOT LIKE '\_%' AND p.prorettype <> 'trigger'::regtype;
SELECT cmp_ok((SELECT count(*) FROM in_catalog), '>', 80::bigint, 'the catalog has arguments');
SELECT is_empty('SELECT function, argument FROM in_catalog EXCEPT SELECT function, argument FROM argument', 'every argument has a line in this test');
SELECT is_empty('SELECT function, argument FROM argument EXCEPT SELECT function, argument FROM in_catalog', 'every line in this test is an argument');
SELECT is_empty('SELECT kind FROM argument EXCEPT SELECT kind FROM nasty', 'every kind has nasty values');

-- attach_users() comes first: the functions after it want an attached table
SELECT attach_users('public.bad_input_users', on_delete => 'erase') \g /dev/null
UPDATE before SET state = pg_temp.state();

SELECT is(code, '00000', format('%s() takes its good values', function))
  FROM (SELECT DISTINCT function FROM argument) AS f, pg_temp.outcome(pg_temp.call(function, '', ''))
 ORDER BY function;

SELECT is(string_agg(format('%s gives %s (%s), not %s', left(n.value, 60), o.code, left(o.message, 80), n.sqlstate), E'\n' ORDER BY n.value)
              FILTER (WHERE o.code <> n.sqlstate),
          NULL, format('%s(%s): %s nasty values', a.function, a.argument, count(*)))
  FROM argument AS a JOIN nasty AS n USING (kind) CROSS JOIN LATERAL pg_temp.outcome(pg_temp.call(a.function, a.argument, n.value)) AS o
 WHERE NOT (a.function = 'attach_users' AND n.sqlstate = '00000')
 GROUP BY a.function, a.argument ORDER BY a.function, a.argument;

SELECT is(string_agg(format('%s(%s): %s', a.function, a.argument, o.message), E'\n' ORDER BY a.function, a.argument)
              FILTER (WHERE o.message <> format('argument "%s" must not be null', a.argument)),
          NULL, 'a NULL refused is told by the name of its argument')
  FROM argument AS a JOIN nasty AS n USING (kind) CROSS JOIN LATERAL pg_temp.outcome(pg_temp.call(a.function, a.argument, n.value)) AS o
 WHERE n.value = 'NULL' AND n.sqlstate = '22004';

-- Settings are input as well
SELECT is(o.code, s.sqlstate, format('usage_tracking.%s = %L', s.name, left(s.value, 30)))
  FROM (VALUES ('clock', 'soon', '22023'), ('clock', 'infinity', '22023'), ('clock', '2026-02-30', '22023'), ('clock', repeat('1', 300), '22023'),
               ('clock', '', '00000'), ('clock', '2026-03-10 12:00+00', '00000'),
               ('time_zone', '', '22023'), ('time_zone', '%s', '22023'), ('time_zone', 'Mars/Olympus_Mons', '22023'), ('time_zone', 'Asia/Tokyo', '00000'),
               ('idempotency_retention', '-1', '22023'), ('max_event_age', '1000000d', '22023'), ('max_event_lead', 'NaN', '22023'),
               ('max_event_age', '24855d', '00000'), ('error_style', 'html', '22023'), ('enabled', 'perhaps', '22023'),
               ('limit_overrides', '', '00000'), ('limit_overrides', E' \t\n', '00000'), ('limit_overrides', 'unknown.plan=0', '00000'),
               ('limit_overrides', 'a.free=20,a.b.free=-1, a.pro = 0.5 ,' || repeat('a', 63) || '.' || repeat('b', 63) || '=' || repeat('9', 29) || '.999999999', '00000'),
               ('limit_overrides', 'free=20', '22023'), ('limit_overrides', '.free=20', '22023'), ('limit_overrides', 'a.=20', '22023'), ('limit_overrides', 'a.free', '22023'),
               ('limit_overrides', 'a.free=', '22023'), ('limit_overrides', '=', '22023'), ('limit_overrides', ',', '22023'), ('limit_overrides', 'a.free=1,', '22023'),
               ('limit_overrides', 'a.free=1,,b.free=1', '22023'), ('limit_overrides', 'a.free=1;b.free=1', '22023'), ('limit_overrides', 'a.free=1 b.free=1', '22023'),
               ('limit_overrides', 'a.free=1=2', '22023'), ('limit_overrides', 'a.free=-2', '22023'), ('limit_overrides', 'a.free=-1.0', '22023'), ('limit_overrides', 'a.free=+1', '22023'),
               ('limit_overrides', 'a.free=1e3', '22023'), ('limit_overrides', 'a.free=0x10', '22023'), ('limit_overrides', 'a.free=NaN', '22023'), ('limit_overrides', 'a.free=Infinity', '22023'),
               ('limit_overrides', 'a.free=.5', '22023'), ('limit_overrides', 'a.free=5.', '22023'), ('limit_overrides', 'a.free=1.0000000001', '22023'),
               ('limit_overrides', 'a.free=' || repeat('9', 30), '22023'), ('limit_overrides', 'A.free=1', '22023'), ('limit_overrides', 'a.b:c=1', '22023'), ('limit_overrides', 'a . free=1', '22023'),
               ('limit_overrides', repeat('a', 64) || '.free=1', '22023'), ('limit_overrides', 'a.' || repeat('b', 64) || '=1', '22023'), ('limit_overrides', 'a.free=1,b.free=1,a.free=1', '22023'),
               ('limit_overrides', repeat('x', 1000000), '22023'), ('limit_overrides', repeat(',', 100000), '22023'), ('limit_overrides', 'a.free=%s%n', '22023'), ('limit_overrides', 'a.🎬=1', '22023'),
               ('credit_refills', '', '00000'), ('credit_refills', E' \t\n', '00000'), ('credit_refills', 'unknown=0', '00000'), ('credit_refills', 'free=20, pro = 0.5 ,' || repeat('b', 63) || '=' || repeat('9', 29) || '.999999999', '00000'),
               ('credit_refills', 'free', '22023'), ('credit_refills', 'free=', '22023'), ('credit_refills', '=20', '22023'), ('credit_refills', 'free=-1', '22023'), ('credit_refills', 'free=1,free=2', '22023'), ('credit_refills', 'free=1,', '22023'),
               ('credit_refills', 'a.free=1', '22023'), ('credit_refills', 'free=1e3', '22023'), ('credit_refills', 'free=NaN', '22023'), ('credit_refills', 'free=1.0000000001', '22023'), ('credit_refills', 'Free=1', '22023'),
               ('credit_refills', repeat('b', 64) || '=1', '22023'), ('credit_refills', repeat(',', 100000), '22023'), ('credits_enabled', 'perhaps', '22023'),
               ('nothing', 'x', '42602')) AS s (name, value, sqlstate),
       pg_temp.outcome(format('SELECT set_config(%L, %L, true)', 'usage_tracking.' || s.name, s.value)) AS o;

-- ---- just inside the bounds: stored exactly ----

SELECT track_usage(:'ann', 'image', 99999999999999999999999999999.999999999, 9223372036854775807, 0.000000001, 'success', repeat('🎬', 255), 9223372036854775807,
                   repeat('é', 1000), repeat('é', 255), E'a\r\n\x01', '''); DROP', jsonb_build_object('x', repeat('y', 8175)), '2026-02-03 12:00+00', repeat('é', 255)) AS id \gset
SELECT results_eq(
    format('SELECT quantity, tokens, cost, event_subtype, duration_ms, error_message, resource_type, resource_id, parent_resource_id, length(metadata->>''x''), occurred_at
              FROM usage_events WHERE id = %s', :id),
    $$VALUES (99999999999999999999999999999.999999999, 9223372036854775807, 0.000000001, repeat('🎬', 255), 9223372036854775807, repeat('é', 1000), repeat('é', 255),
              E'a\r\n\x01', '''); DROP', 8175, timestamptz '2026-02-03 12:00+00')$$, 'an event is stored as it was told');
SELECT is(track_usage(:'ann', 'image', 99999999999999999999999999999.999999999, 9223372036854775807, occurred_at => '2026-02-03 12:00+00', idempotency_key => repeat('é', 255)), :id::bigint,
          'a key of 255 characters is found again');
SELECT track_usage(:'ann', 'image', metadata => jsonb_build_object('x', repeat('y', 8176))) AS id \gset
SELECT is(left(metadata::text, 60), '{"cut_from_bytes": 8193}', 'metadata of more than 8 kB is marked as cut') FROM usage_events WHERE id = :id;
/* a call of an API: what it costs may have more digits than may be given as a cost */
INSERT INTO model_prices (provider, model, prices, valid_from) VALUES ('dear', 'max', '{"input": 999999999.999999999999999999999999, "request": 999999999, "output_image": 999999999}', '2020-01-01');
SELECT event_id AS id, input_cost, output_cost, total_cost, priced
  FROM track_api_usage(:'ann', 'image', 'dear', 'max', repeat('é', 1001), repeat('🎬', 1001), 9223372036854775807, 0, quantity => 99999999999999999999999999999.999999999, status => 'failed',
                       duration_ms => 9223372036854775807, error_message => repeat('x', 1001), campaign_id => repeat('🎬', 255), ip => 'fe80::1/10', user_agent => E'a\r\n\x01' || repeat('x', 1001),
                       error_code => repeat('é', 255), service_tier => 'priority') \gset
SELECT results_eq(
    format($$SELECT e.cost, e.input_cost, e.output_cost, %L::numeric, %L::numeric, %L::numeric, e.price_id = p.id,
                    (SELECT array_agg(length(t) < 1040 AND t ~ '\(cut from 100\d characters\)$') FROM unnest(ARRAY[e.endpoint, e.request_id, e.user_agent, e.error_message]) AS t), e.error_code, e.campaign_id, e.ip, e.model,
                    e.service_tier, e.duration_ms, e.quantity
               FROM usage_events AS e JOIN model_prices AS p USING (model) WHERE e.id = %s$$, :'total_cost', :'input_cost', :'output_cost', :id),
    $$SELECT c, c, 0::numeric, c, c, 0::numeric, true, '{t,t,t,t}'::boolean[], repeat('é', 255), repeat('🎬', 255), inet 'fe80::1/10', 'max',
             'priority', 9223372036854775807, 99999999999999999999999999999.999999999
        FROM (SELECT 9223372036854775807 * 999999999.999999999999999999999999) AS v (c)$$, 'a call is stored as it was told, and its cost is exact');
SELECT is(total_cost, 99999999999999999999999999999.999999999 * 999999999, 'the greatest quantity of the dearest image')
  FROM track_api_usage(:'ann', 'image', 'dear', 'max', quantity => 99999999999999999999999999999.999999999);
SELECT track_api_usage(:'ann', 'image', NULL, NULL) IS NULL AS ignored, track_api_usage(:'ann', 'image', 'dear', NULL, input_tokens => 7) \g /dev/null
SELECT is_empty($$SELECT * FROM usage_events WHERE cost < 0 OR cost = 'NaN' OR input_cost < 0 OR output_cost < 0 OR (tokens > 0 AND cost <> input_cost + output_cost)$$, 'no cost is negative, not a number, or not the sum of its parts');
SELECT throws_ok(format('SELECT track_api_usage(%L, ''image'', ''dear'', ''max'', input_tokens => %s, %s => %s)', :'ann', n, argument, 9223372036854775807 - n + 1), '22003', 'tokens are too many', '22003 for more tokens than there are: ' || argument)
  FROM unnest('{1,9223372036854775807,4611686018427387904}'::bigint[]) AS n, unnest('{output_tokens,image_output_tokens}'::text[]) AS argument;

/* prices are input too, of who may write them: none is negative, or no number */
SELECT throws_ok(format('INSERT INTO model_prices (provider, model, prices, valid_from) VALUES (''acme'', ''bad'', %L, ''2020-01-01'')', '{"input": ' || price || '}'), code, NULL, 'no price of ' || price)
  FROM (VALUES ('-1', '23514'), ('-0.000000000000000000000001', '23514'), ('"NaN"', '23514'), ('1e9', '23514'), ('1e400', '23514'), ('null', '23514'), ('1e-25', '23514'), ('NaN', '22P02'), ('Infinity', '22P02')) AS v (price, code);

SELECT consume_usage(:'ann', 'image', 0.000000001, 9223372036854775807), consume_usage(:'ann', 'image', 1e28, 9223372036854775807) \g /dev/null
SELECT is((check_usage_limit(:'ann', 'tokens_total', 0)).used, 3 * 9223372036854775807.0 + 7 + 1007 + 7, 'tokens add up beyond bigint');
SELECT is((check_usage_limit(:'ann', 'units_monthly', 0)).used, sum(quantity), 'quantities add up exactly') FROM usage_events
 WHERE usage_type = 'image' AND status = 'success' AND occurred_at > '2026-02-10 12:00+00';
SELECT is_empty('SELECT * FROM reconcile_usage()', 'counters agree with events');

SELECT define_usage_limit('a' || repeat('z', 62), 'b' || repeat('z', 62), 99999999999999999999999999999.999999999, description => E'é\n🎬');
SELECT results_eq(format('SELECT max_usage, description FROM usage_limits WHERE limit_type = %L AND usage_type = %L', 'a' || repeat('z', 62), 'b' || repeat('z', 62)),
                  $$VALUES (99999999999999999999999999999.999999999, E'é\n🎬')$$, 'names of 63 bytes and the largest maximum');
SELECT set_user_limit(:'ann', 'videos_daily', 0.000000001, '294276-12-31 23:59:59.999999+00', repeat('🎬', 255));
SELECT results_eq($$SELECT max_usage, expires_at, reason FROM user_limits$$,
                  $$VALUES (0.000000001, timestamptz '294276-12-31 23:59:59.999999+00', repeat('🎬', 255))$$, 'the smallest maximum');
SELECT create_usage_partition('0001-01-01'), create_usage_partition('9999-12-31') \g /dev/null
SELECT is(array_agg(relname ORDER BY relname), '{usage_events_0001_01,usage_events_2026_03,usage_events_2026_04,usage_events_9999_12}', 'partitions of the first and the last month')
  FROM pg_class WHERE relname ~ '^usage_events_\d+_\d+$';

-- What those calls did shows, so that nothing left behind by a refused one could hide
SELECT isnt(pg_temp.state(), (SELECT state FROM before), 'the state tells a difference');

-- An extreme clock is legal, so every window must still be found
SELECT define_usage_limit(format('w%s', n), 'clip', 5, 'anchored', p::interval)
  FROM unnest('{1 second,1 hour,36600 days,1 day,1 month,1200 months,878400 hours}'::text[]) WITH ORDINALITY AS u (p, n);
UPDATE before SET state = pg_temp.state();
SELECT is(o.code, '00000', format('a use with anchor %s in %s', a, z))
  FROM unnest('{0001-01-01 00:00:00+00,0004-02-29 00:00:00+00,9999-12-31 23:59:59.999999+00}'::timestamptz[]) AS a,
       unnest('{Etc/GMT-14,Etc/GMT+12,America/Los_Angeles}'::text[]) AS z,
       pg_temp.outcome(format('SELECT set_user_clock(%1$L, %2$L, %3$L), consume_usage(%1$L, ''clip''), (SELECT count(used) FROM user_usage)',
                              '00000000-0000-0000-0000-00000000000a', z, a)) AS o;
SELECT define_usage_limit('wb', 'clip', 5, 'billing');
UPDATE before SET state = pg_temp.state();
SELECT is(o.code, '00000', format('a use with a billing period %s long from %s in %s', p, a, z))
  FROM unnest('{0001-01-01 00:00:00+00,0004-02-29 00:00:00+00,9899-12-31 00:00:00+00}'::timestamptz[]) AS a,
       unnest('{Etc/GMT-14,Etc/GMT+12,America/Los_Angeles}'::text[]) AS z,
       unnest('{1 second,1 month,99 years,36500 days}'::interval[]) AS p,
       pg_temp.outcome(format('SELECT set_user_clock(%1$L, %2$L), set_user_plan(%1$L, ''pro'', NULL, %3$L, %4$L), consume_usage(%1$L, ''clip''), (SELECT count(used) FROM user_usage)',
                              '00000000-0000-0000-0000-00000000000a', z, a, a + p)) AS o;

SELECT * FROM finish();
ROLLBACK;
