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
-- A database has an identity. That of an older one is made from its first session, so its copies and backups have the same.
CREATE TABLE identity (
	id INTEGER NOT NULL,
	"database" TEXT NOT NULL,
	PRIMARY KEY (id)
) STRICT;

INSERT INTO identity (id, "database") VALUES (
 1, coalesce((SELECT printf('%016x%016x', started_at, pid) FROM boot ORDER BY id LIMIT 1), lower(hex(randomblob(16))))
);
