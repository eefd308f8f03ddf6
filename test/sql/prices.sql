/* prices: what does it cost?
 *
 * Exact, by the price of the day; what nobody knows the price of is not free.
 */
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET usage_tracking.clock = '2026-03-10 12:00+00';
\set ON_ERROR_ROLLBACK on
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' | '
\pset null -
BEGIN;

-- What the seeds print, once
SELECT install_seed_prices(), install_seed_prices();
SELECT provider, model, prices, valid_from, source FROM model_prices ORDER BY model, provider;
SELECT * FROM calculate_openai_cost(1000000, 1000000, 'gpt-5');
SELECT * FROM calculate_openai_cost(1000, 1000, 'gpt-4o-mini');
SELECT * FROM calculate_image_cost('openai', 'dall-e-3', 3, quality => 'hd');
SELECT * FROM calculate_image_cost('openai', 'dall-e-3');
SELECT * FROM calculate_video_cost('luma', 'luma', 7.25);

-- Unknown is not free: a model, a day, a class without a price; but nothing of it costs nothing
SELECT * FROM calculate_openai_cost(1000, 10, 'gpt-99');
SELECT * FROM calculate_llm_cost('openai', NULL, 0, 0);
SELECT * FROM calculate_llm_cost('openai', 'gpt-5', 1000, 10, at => '2025-09-30 23:59:59.999999+00');
SELECT * FROM calculate_llm_cost('openai', 'gpt-5', 1000, 10, at => '2025-10-01');
SELECT * FROM calculate_llm_cost('openai', 'hd/dall-e-3', 1000, 0);
SELECT * FROM calculate_llm_cost('openai', 'hd/dall-e-3', 0, 0);
SELECT * FROM calculate_image_cost('openai', 'gpt-5');
SELECT * FROM calculate_video_cost('openai', 'gpt-5', 1);
INSERT INTO model_prices (provider, model, prices, valid_from) VALUES ('acme', 'half', '{"input": 0.5}', '2026-01-01');
SELECT * FROM calculate_llm_cost('acme', 'half', 2, 1);
SELECT * FROM calculate_llm_cost('acme', 'half', 2, 0);

-- Each class has its price, or that of the class it is part of
INSERT INTO model_prices (provider, model, prices, valid_from) VALUES
    ('acme', 'all', '{"input": 1, "output": 10, "cache_read": 0.1, "cache_write": 1.25, "cache_write_1h": 2, "reasoning": 12,
                      "audio_input": 3, "audio_cache_read": 0.3, "audio_output": 20, "image_input": 4, "image_output": 40, "request": 1000}', '2026-01-01'),
    ('acme', 'few', '{"input": 1, "output": 10, "cache_write": 1.25, "audio_input": 3}', '2026-01-01');
SELECT m, c.* FROM unnest('{all,few}'::text[]) AS m, calculate_llm_cost('acme', m, 1, 1) AS c;
SELECT m, k, c.total_cost
  FROM unnest('{all,few}'::text[]) AS m, generate_series(1, 9) AS k,
       calculate_llm_cost('acme', m, 0, 0, (k = 1)::int, (k = 2)::int, (k = 3)::int, (k = 4)::int, (k = 5)::int, (k = 6)::int,
                          (k = 7)::int, (k = 8)::int, (k = 9)::int, requests => 0) AS c;

-- Thresholds look at all input of the call; the highest one counts, then the tier
INSERT INTO model_prices (provider, model, prices, valid_from) VALUES
    ('acme', 'long', '{"input": 1, "input.batch": 0.5, "input>100": 2, "input>200": 3, "input.batch>200": 1.5, "output": 10, "output>200": 15, "cache_read": 0.1}', '2026-01-01');
SELECT n, t, c.* FROM unnest('{100,101,200,201}'::int[]) AS n, unnest('{standard,batch,flex}'::text[]) AS t,
       calculate_llm_cost('acme', 'long', n, 1, service_tier => t) AS c;
SELECT c.* FROM calculate_llm_cost('acme', 'long', 1, 1, cache_read_tokens => 200) AS c;

-- Exact: the smallest rates and the largest counts
INSERT INTO model_prices (provider, model, prices, valid_from) VALUES
    ('acme', 'tiny', '{"input": 1e-12, "output": 0.00000007142857142857143}', '2026-01-01');
SELECT * FROM calculate_llm_cost('acme', 'tiny', 1, 1);
SELECT * FROM calculate_llm_cost('acme', 'tiny', 9223372036854775807, 9223372036854775807, cache_read_tokens => 9223372036854775807);
SELECT sum(c.total_cost) FROM generate_series(1, 100000), calculate_llm_cost('acme', 'tiny', 1, 0) AS c;

-- Names: as listed, with the provider in front or not, as telemetry spells it, under an alias
INSERT INTO model_prices (provider, model, prices, valid_from) VALUES
    ('gemini', 'gemini/flash', '{"input": 1}', '2026-01-01'), ('bedrock', 'm', '{"input": 2}', '2026-01-01'),
    ('openai', 'm', '{"input": 3}', '2026-01-01'), ('openrouter', 'openrouter/openai/m', '{"input": 4}', '2026-01-01');
INSERT INTO model_aliases VALUES ('azure', 'my-deployment', 'openai', 'm'), ('openai', 'm-latest', 'openai', 'm');
SELECT p, m, c.input_cost FROM (VALUES
    ('gemini', 'flash'), ('gemini', 'gemini/flash'), (NULL, 'gemini/flash'), ('gcp.gemini', 'flash'), ('openai', 'flash'), (NULL, 'flash'),
    ('openai', 'm'), ('openai', 'openai/m'), (NULL, 'openai/m'), (NULL, 'm'), ('aws.bedrock', 'm'), ('bedrock_converse', 'bedrock/m'),
    ('openrouter', 'openai/m'), ('Openai', 'm'), ('openai', 'M'), ('bedrock', 'openai/m'), ('azure', 'my-deployment'), (NULL, 'azure/my-deployment'),
    (NULL, 'my-deployment'), ('openai', 'openai/m-latest'), ('azure', 'm'), ('', 'm')) AS v (p, m) LEFT JOIN LATERAL calculate_llm_cost(nullif(p, ''), m, 1, 0) AS c ON true;

-- Images: the name that says most; a price for a pixel needs the size
INSERT INTO model_prices (provider, model, prices, valid_from) VALUES
    ('acme', 'acme/hd/1024-x-1024/draw', '{"output_image": 0.08}', '2026-01-01'), ('acme', '1024-x-1024/draw', '{"input_pixel": 0.00000003, "output_pixel": 0.00000001}', '2026-01-01'),
    ('acme', 'draw', '{"input_image": 0.05}', '2026-01-01'), ('acme', 'dots', '{"input_pixel": 1e-9}', '2026-01-01'),
    ('acme', 'film', '{"output_video_second": 0.1, "output_second_1080p": 0.2}', '2026-01-01');
SELECT s, q, c.* FROM unnest('{1024x1024,1024-x-1024,512x512,NULL}'::text[]) AS s, unnest('{hd,standard,NULL}'::text[]) AS q, calculate_image_cost('acme', 'draw', 2, s, q) AS c;
SELECT * FROM calculate_image_cost('acme', 'dots');
SELECT * FROM calculate_image_cost('acme', 'dots', 0, '10x10');
SELECT * FROM calculate_image_cost('acme', 'dots', 1, '10x10');
SELECT r, c.* FROM unnest('{1080p,720p,NULL}'::text[]) AS r, calculate_video_cost('acme', 'film', 2.5, r) AS c;

-- A price has its time, and one at a time
SELECT prices, valid_to FROM model_prices WHERE model = 'gpt-5';
\set VERBOSITY terse
INSERT INTO model_prices (provider, model, prices, valid_from) VALUES ('openai', 'gpt-5', '{"input": 1}', '2026-01-01');
INSERT INTO model_prices (provider, model, prices, valid_from, valid_to) VALUES ('openai', 'gpt-5', '{"input": 1}', '2025-01-01', '2025-10-01 00:00:00.000001+00');
INSERT INTO model_prices (provider, model, prices, valid_from, valid_to) VALUES ('openai', 'gpt-5', '{"input": 1}', '-infinity', '2025-10-01');
INSERT INTO model_prices (provider, model, prices, valid_from, valid_to) VALUES ('openai', 'gpt-7', '{"input": 1}', '2026-01-01', '2026-01-01');
INSERT INTO model_prices (provider, model, prices, valid_from) SELECT 'openai', 'gpt-7', p::jsonb, '2026-01-01'
  FROM unnest(ARRAY['[]', '{"Input": 1}', '{"input": "1"}', '{"input": -1}', '{"input": 1e9}', '{"input": 1e-25}', '{"input.cheap": 1}', '{"input>0": 1}', '{"input>10.batch": 1}']) AS p
 WHERE _are_prices(p::jsonb);
INSERT INTO model_prices (provider, model, prices, valid_from) VALUES ('openai', 'gpt-7', '{"input>0": 1}', '2026-01-01');
INSERT INTO model_prices (provider, model, prices, valid_from, currency) VALUES ('openai', 'gpt-7', '{}', '2026-01-01', 'EUR');
\set VERBOSITY default
SELECT input_cost FROM unnest('{2025-09-30,2025-10-01,2026-03-10}'::timestamptz[]) AS at, calculate_llm_cost('openai', 'gpt-5', 1000, 0, at => at);

UPDATE model_prices SET valid_to = '2026-03-10 12:00+00' WHERE model = 'half';
SELECT * FROM calculate_llm_cost('acme', 'half', 2, 0);
SELECT * FROM calculate_llm_cost('acme', 'half', 2, 0, at => '2026-03-10 11:59:59.999999+00');

-- A changed price counts from the next statement on; taken back, it never was
SAVEPOINT s;
UPDATE model_prices SET prices = '{"input": 7}' WHERE model = 'gpt-5' AND valid_to IS NULL;
SELECT input_cost FROM calculate_llm_cost('openai', 'gpt-5', 1, 0);
TRUNCATE model_prices;
SELECT input_cost, priced FROM calculate_llm_cost('openai', 'gpt-5', 1, 0);
ROLLBACK TO SAVEPOINT s;
SELECT input_cost FROM calculate_llm_cost('openai', 'gpt-5', 1, 0);
DELETE FROM model_aliases;
SELECT priced FROM calculate_llm_cost('azure', 'my-deployment', 1, 0);

-- A price list: what changed, and what is wrong with it
DELETE FROM model_prices;
CREATE TEMP TABLE list AS SELECT '{
    "sample_spec": {"mode": "one of many"}, "last_updated": "today", "fallback_generalizations": {},
    "gpt-4o": {"litellm_provider": "openai", "mode": "chat", "max_tokens": 16384, "supports_vision": true, "input_cost_per_token": 2.50e-06, "output_cost_per_token": 1e-05,
               "cache_read_input_token_cost": 1.25e-06, "input_cost_per_token_batches": 1.25e-06, "input_cost_per_token_priority": 4.25e-06, "source": "https://example.com/"},
    "vertex_ai/claude": {"litellm_provider": "vertex_ai-anthropic_models", "mode": "chat", "input_cost_per_token": 3e-06, "input_cost_per_token_above_200k_tokens": 6e-06,
               "input_cost_per_token_above_200k_tokens_priority": 1.2e-05, "cache_creation_input_token_cost": 3.75e-06, "cache_creation_input_token_cost_above_1hr": 6e-06,
               "cache_creation_input_token_cost_above_1hr_above_200k_tokens": 1.2e-05, "search_context_cost_per_query": {"search_context_size_low": 0.01}},
    "dashscope/qwen": {"litellm_provider": "dashscope", "tiered_pricing": [{"range": [0, 32000.0], "input_cost_per_token": 3e-07, "output_cost_per_reasoning_token": 1e-06},
                       {"range": [32000.0, 128000], "input_cost_per_token": 5e-07, "max_results": 7}, {"max_results_range": [0, 25], "input_cost_per_query": 5e-3}]},
    "deepseek": {"litellm_provider": "deepseek", "cache_read_input_token_cost": 2.8e-08, "input_cost_per_token_cache_hit": 9, "output_cost_per_token": null},
    "unpriced": {"litellm_provider": "acme", "mode": 7}, "free": {"litellm_provider": "acme", "input_cost_per_token": 0},
    "bad/array": [], "bad/provider": {"input_cost_per_token": 1}, "": {"litellm_provider": "acme"},
    "bad/text": {"litellm_provider": "acme", "input_cost_per_token": "1e-06"}, "bad/negative": {"litellm_provider": "acme", "output_cost_per_token_flex": -1e-06},
    "bad/decimals": {"litellm_provider": "acme", "output_cost_per_token": 1e-25}, "bad/range": {"litellm_provider": "acme", "tiered_pricing": [{"range": [0.5, 1], "input_cost_per_token": 1}]}
  }'::jsonb AS prices;
SELECT i.* FROM list, import_model_prices(prices, '2026-01-01', 'a list') AS i;
SELECT provider, model, mode, prices, valid_from, valid_to, source FROM model_prices ORDER BY model;
SELECT i.* FROM list, import_model_prices(prices, '2026-01-01', 'the same') AS i WHERE action <> 'refused';
SELECT i.* FROM list, import_model_prices(prices) AS i WHERE action <> 'refused';
SELECT count(*), count(DISTINCT source) FROM model_prices;

-- A changed price closes the row before and opens one; at the same instant it replaces it; before all others it ends where they begin
SELECT * FROM import_model_prices('{"free": {"litellm_provider": "acme", "input_cost_per_token": 2e-07}, "unpriced": {"litellm_provider": "acme", "mode": "chat"}}', '2026-02-01', 'February');
SELECT * FROM import_model_prices('{"free": {"litellm_provider": "acme", "mode": "chat", "input_cost_per_token": 3e-07}}', '2026-02-01', 'February, mended');
SELECT * FROM import_model_prices('{"free": {"litellm_provider": "acme", "input_cost_per_token": 1e-07}}', '2025-12-01', 'December');
SELECT * FROM import_model_prices('{"free": {"litellm_provider": "acme", "input_cost_per_token": 4e-07}}', '2026-01-15', 'January');
SELECT model, prices, valid_from, valid_to, source FROM model_prices WHERE provider = 'acme' ORDER BY model, valid_from;
SELECT at, c.input_cost, c.priced
  FROM unnest('{2025-11-30,2025-12-01,2026-01-01,2026-01-15,2026-02-01}'::timestamptz[]) AS at, calculate_llm_cost('acme', 'free', 1000000, 0, at => at) AS c;
SELECT * FROM import_model_prices('{"free": {"litellm_provider": "acme"}}');
SELECT * FROM calculate_llm_cost('acme', 'free', 1, 0);

-- What cannot be imported
SELECT * FROM import_model_prices(NULL);
SELECT * FROM import_model_prices('[]');
SELECT * FROM import_model_prices('{}', 'infinity');
SELECT * FROM import_model_prices('{}', source => '');

-- Who changed a price is known
SELECT action, count(*) FROM usage_changes WHERE table_name = 'model_prices' GROUP BY action ORDER BY action;

-- Each token in one class: OpenAI counts cached tokens among its input, Anthropic does not
\x on
SELECT * FROM usage_from_openai('{"model": "gpt-4o", "service_tier": "default", "usage": {"prompt_tokens": 1000, "completion_tokens": 300, "total_tokens": 1300,
    "prompt_tokens_details": {"cached_tokens": 600, "audio_tokens": 50}, "completion_tokens_details": {"reasoning_tokens": 200, "audio_tokens": 10}}}');
SELECT * FROM usage_from_openai('{"input_tokens": 100, "input_tokens_details": {"cached_tokens": 60}, "output_tokens": 30, "output_tokens_details": {"reasoning_tokens": 20}, "service_tier": "flex"}');
SELECT * FROM usage_from_openai('{"input_tokens": 127, "output_tokens": 90, "input_token_details": {"text_tokens": 119, "audio_tokens": 8, "cached_tokens": 68,
    "cached_tokens_details": {"text_tokens": 64, "audio_tokens": 4}}, "output_token_details": {"text_tokens": 30, "audio_tokens": 60}}');
SELECT * FROM usage_from_anthropic('{"model": "claude-sonnet-4-5", "usage": {"input_tokens": 21, "cache_creation_input_tokens": 188086, "cache_read_input_tokens": 1500,
    "cache_creation": {"ephemeral_5m_input_tokens": 456, "ephemeral_1h_input_tokens": 187630}, "output_tokens": 393, "service_tier": "batch"}}');
SELECT * FROM usage_from_opentelemetry('{"gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": "300",
    "gen_ai.usage.cache_read.input_tokens": 600, "gen_ai.usage.cache_creation.input_tokens": 100, "gen_ai.usage.reasoning.output_tokens": 200}');
\x off
SELECT * FROM usage_from_openai('{"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 11}}');
SELECT * FROM usage_from_openai('{"completion_tokens": 10, "completion_tokens_details": {"reasoning_tokens": 11}}');
SELECT * FROM usage_from_openai('{"prompt_tokens": -1}');
SELECT * FROM usage_from_anthropic('{"input_tokens": 1.5}');
SELECT * FROM usage_from_anthropic('{"cache_creation_input_tokens": 1, "cache_creation": {"ephemeral_1h_input_tokens": 2}}');
SELECT * FROM usage_from_opentelemetry('{"gen_ai.usage.input_tokens": 5, "gen_ai.usage.cache_read.input_tokens": 3, "gen_ai.usage.cache_creation.input_tokens": 3}');
ROLLBACK;
