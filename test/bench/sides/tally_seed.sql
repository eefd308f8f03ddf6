INSERT INTO tally_seed.preset_usage (preset_id, user_id) VALUES ('00000000-0000-0000-0000-000000000001', $1);
