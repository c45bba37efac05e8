-- How a run makes its student, what it found out besides, and the runs whose students it starts from.
ALTER TABLE run ADD COLUMN kind TEXT DEFAULT 'train' NOT NULL;
ALTER TABLE run ADD COLUMN figures TEXT DEFAULT '{}' NOT NULL;

CREATE TABLE run_source (
	run_id INTEGER NOT NULL,
	place INTEGER NOT NULL,
	source_id INTEGER NOT NULL,
	role TEXT NOT NULL,
	PRIMARY KEY (run_id, place),
	FOREIGN KEY(run_id) REFERENCES run (id),
	FOREIGN KEY(source_id) REFERENCES run (id)
)
 WITHOUT ROWID, STRICT;

CREATE INDEX run_source_source ON run_source (source_id);
-- Your notes on questions and samples.
CREATE TABLE note (
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

CREATE INDEX note_by_question ON note (question_id);
