-- Your notes on questions and samples; databases of some days of version 6 have them already.
CREATE TABLE IF NOT EXISTS note (
	id INTEGER NOT NULL,
	question_id INTEGER NOT NULL,
	sample_id INTEGER,
	flag TEXT NOT NULL,
	text TEXT NOT NULL,
	noted_at INTEGER NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (sample_id),
	FOREIGN KEY(question_id) REFERENCES question (id),
	FOREIGN KEY(sample_id) REFERENCES sample (id)
) STRICT;

CREATE INDEX IF NOT EXISTS note_by_question ON note (question_id);
