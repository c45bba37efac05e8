-- How the answers of a student ended, and the accuracy of each repetition of the sampled ones.
ALTER TABLE evaluation ADD COLUMN correct_format REAL;
ALTER TABLE evaluation ADD COLUMN complete REAL;
ALTER TABLE evaluation ADD COLUMN repetitions TEXT;
-- Checksums of texts. Rows that are there get theirs in the background (`state/checksums.py`): the indexes find them.
ALTER TABLE sample ADD COLUMN checksum INTEGER;
ALTER TABLE question ADD COLUMN checksum INTEGER;
ALTER TABLE prediction ADD COLUMN checksum INTEGER;
CREATE INDEX sample_unchecked ON sample (id) WHERE state = 'stored' AND checksum IS NULL;
CREATE INDEX question_unchecked ON question (id) WHERE checksum IS NULL;
CREATE INDEX prediction_unchecked ON prediction (run_id) WHERE checksum IS NULL;
