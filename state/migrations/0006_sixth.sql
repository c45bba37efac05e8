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
