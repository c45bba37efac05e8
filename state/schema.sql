-- Generated from state.tables by `python -m state.schema`; do not edit.

CREATE TABLE task (
	id INTEGER NOT NULL,
	name TEXT NOT NULL,
	source TEXT NOT NULL,
	answer_format TEXT NOT NULL,
	digest TEXT NOT NULL,
	train INTEGER NOT NULL,
	dev INTEGER NOT NULL,
	test INTEGER NOT NULL,
	active INTEGER NOT NULL,
	paused INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	stamp TEXT DEFAULT '' NOT NULL,
	longest TEXT DEFAULT '{}' NOT NULL,
	unreadable INTEGER DEFAULT 0 NOT NULL,
	labelled INTEGER DEFAULT 1 NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (name)
) STRICT;

CREATE TABLE question (
	id INTEGER NOT NULL,
	task_id INTEGER NOT NULL,
	"key" TEXT NOT NULL,
	split TEXT NOT NULL,
	position INTEGER NOT NULL,
	text TEXT NOT NULL,
	text_hash TEXT NOT NULL,
	gold TEXT NOT NULL,
	rationale TEXT,
	active INTEGER NOT NULL,
	unreadable TEXT DEFAULT '' NOT NULL,
	checksum INTEGER,
	PRIMARY KEY (id),
	UNIQUE (task_id, "key", text_hash),
	FOREIGN KEY(task_id) REFERENCES task (id)
) STRICT;

CREATE INDEX question_order ON question (task_id, split, active, position);

CREATE INDEX question_unchecked ON question (id) WHERE checksum IS NULL;

CREATE TABLE teacher (
	id INTEGER NOT NULL,
	name TEXT NOT NULL,
	dialect TEXT NOT NULL,
	model TEXT NOT NULL,
	base_url TEXT NOT NULL,
	state TEXT NOT NULL,
	reason TEXT NOT NULL,
	active INTEGER NOT NULL,
	requests INTEGER NOT NULL,
	answered INTEGER NOT NULL,
	status_429 INTEGER NOT NULL,
	retries INTEGER NOT NULL,
	errors INTEGER NOT NULL,
	unknown_attempts INTEGER NOT NULL,
	prompt_tokens INTEGER NOT NULL,
	completion_tokens INTEGER NOT NULL,
	spent_micros INTEGER NOT NULL,
	reserved_micros INTEGER NOT NULL,
	unknown_micros INTEGER DEFAULT 0 NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (name)
) STRICT;

CREATE TABLE "plan" (
	id INTEGER NOT NULL,
	name TEXT NOT NULL,
	task_id INTEGER NOT NULL,
	split TEXT NOT NULL,
	recipe TEXT NOT NULL,
	teachers TEXT NOT NULL,
	strategy TEXT NOT NULL,
	settings TEXT NOT NULL,
	rationales INTEGER NOT NULL,
	weight REAL NOT NULL,
	active INTEGER NOT NULL,
	cursor INTEGER NOT NULL,
	wanted INTEGER NOT NULL,
	claimed INTEGER NOT NULL,
	stored INTEGER NOT NULL,
	accepted INTEGER NOT NULL,
	rejected INTEGER NOT NULL,
	failed INTEGER NOT NULL,
	skipped INTEGER NOT NULL,
	spent_micros INTEGER NOT NULL,
	reserved_micros INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	questions INTEGER DEFAULT 0 NOT NULL,
	base INTEGER DEFAULT 0 NOT NULL,
	want INTEGER DEFAULT 0 NOT NULL,
	target INTEGER DEFAULT 0 NOT NULL,
	together INTEGER DEFAULT 1 NOT NULL,
	unless TEXT DEFAULT '' NOT NULL,
	unknown_micros INTEGER DEFAULT 0 NOT NULL,
	panel TEXT DEFAULT '' NOT NULL,
	member INTEGER DEFAULT 0 NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (name, task_id, split, recipe),
	FOREIGN KEY(task_id) REFERENCES task (id)
) STRICT;

CREATE INDEX ix_plan_task_id ON "plan" (task_id);

CREATE TABLE need (
	plan_id INTEGER NOT NULL,
	question_id INTEGER NOT NULL,
	tries INTEGER NOT NULL,
	correct INTEGER NOT NULL,
	PRIMARY KEY (plan_id, question_id),
	FOREIGN KEY(plan_id) REFERENCES "plan" (id),
	FOREIGN KEY(question_id) REFERENCES question (id)
)
 WITHOUT ROWID, STRICT;

CREATE INDEX need_order ON need (plan_id, tries, correct, question_id);

CREATE TABLE identity (
	id INTEGER NOT NULL,
	"database" TEXT NOT NULL,
	PRIMARY KEY (id)
) STRICT;

CREATE TABLE boot (
	id INTEGER NOT NULL,
	pid INTEGER NOT NULL,
	pid_started REAL NOT NULL,
	host TEXT NOT NULL,
	version TEXT NOT NULL,
	started_at INTEGER NOT NULL,
	ended_at INTEGER,
	exit_reason TEXT,
	config TEXT NOT NULL,
	PRIMARY KEY (id)
) STRICT;

CREATE TABLE pulse (
	id INTEGER NOT NULL,
	boot_id INTEGER NOT NULL,
	at INTEGER NOT NULL,
	state TEXT NOT NULL,
	data TEXT NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY(boot_id) REFERENCES boot (id)
) STRICT;

CREATE TABLE event (
	id INTEGER NOT NULL,
	at INTEGER NOT NULL,
	level TEXT NOT NULL,
	kind TEXT NOT NULL,
	subject TEXT NOT NULL,
	message TEXT NOT NULL,
	data TEXT NOT NULL,
	PRIMARY KEY (id)
) STRICT;

CREATE INDEX event_by_level ON event (level, id);

CREATE TABLE command (
	id INTEGER NOT NULL,
	kind TEXT NOT NULL,
	args TEXT NOT NULL,
	state TEXT NOT NULL,
	answer TEXT,
	created_at INTEGER NOT NULL,
	answered_at INTEGER,
	PRIMARY KEY (id)
) STRICT;

CREATE INDEX command_by_state ON command (state, id);

CREATE TABLE sample (
	id INTEGER NOT NULL,
	plan_id INTEGER NOT NULL,
	task_id INTEGER NOT NULL,
	question_id INTEGER NOT NULL,
	split TEXT NOT NULL,
	teacher_id INTEGER NOT NULL,
	recipe TEXT NOT NULL,
	replicate INTEGER NOT NULL,
	state TEXT NOT NULL,
	attempts INTEGER NOT NULL,
	unknowns INTEGER NOT NULL,
	rationale TEXT,
	answer TEXT,
	verdict INTEGER,
	extracted TEXT,
	flags TEXT NOT NULL,
	finish_reason TEXT,
	prompt_tokens INTEGER NOT NULL,
	completion_tokens INTEGER NOT NULL,
	cost_micros INTEGER NOT NULL,
	reason TEXT,
	created_at INTEGER NOT NULL,
	stored_at INTEGER,
	checksum INTEGER,
	PRIMARY KEY (id),
	UNIQUE (question_id, recipe, replicate),
	FOREIGN KEY(plan_id) REFERENCES "plan" (id),
	FOREIGN KEY(task_id) REFERENCES task (id),
	FOREIGN KEY(question_id) REFERENCES question (id),
	FOREIGN KEY(teacher_id) REFERENCES teacher (id)
) STRICT;

CREATE INDEX sample_by_plan_state ON sample (plan_id, state, verdict);

CREATE INDEX sample_by_task ON sample (task_id, split, verdict);

CREATE INDEX sample_unchecked ON sample (id) WHERE state = 'stored' AND checksum IS NULL;

CREATE TABLE attempt (
	id INTEGER NOT NULL,
	sample_id INTEGER NOT NULL,
	turn INTEGER NOT NULL,
	teacher_id INTEGER NOT NULL,
	boot_id INTEGER NOT NULL,
	request_id TEXT NOT NULL,
	choice INTEGER NOT NULL,
	provider_id TEXT,
	outcome TEXT,
	status INTEGER,
	reason TEXT,
	reserved_micros INTEGER NOT NULL,
	cost_micros INTEGER NOT NULL,
	prompt_tokens INTEGER NOT NULL,
	completion_tokens INTEGER NOT NULL,
	cached_tokens INTEGER NOT NULL,
	reasoning_tokens INTEGER NOT NULL,
	estimated INTEGER NOT NULL,
	latency_ms INTEGER,
	claimed_at INTEGER NOT NULL,
	ended_at INTEGER,
	cache_write_tokens INTEGER DEFAULT 0 NOT NULL,
	leader_id INTEGER,
	unknown_micros INTEGER DEFAULT 0 NOT NULL,
	answer TEXT,
	PRIMARY KEY (id),
	FOREIGN KEY(sample_id) REFERENCES sample (id),
	FOREIGN KEY(teacher_id) REFERENCES teacher (id),
	FOREIGN KEY(boot_id) REFERENCES boot (id)
) STRICT;

CREATE INDEX attempt_open ON attempt (boot_id) WHERE outcome IS NULL;

CREATE INDEX ix_attempt_sample_id ON attempt (sample_id);

CREATE TABLE batch (
	id INTEGER NOT NULL,
	teacher_id INTEGER NOT NULL,
	boot_id INTEGER NOT NULL,
	"key" TEXT NOT NULL,
	mark TEXT NOT NULL,
	state TEXT NOT NULL,
	provider_id TEXT,
	input_file_id TEXT,
	output_file_id TEXT,
	error_file_id TEXT,
	status TEXT NOT NULL,
	reason TEXT NOT NULL,
	requests INTEGER NOT NULL,
	bytes INTEGER NOT NULL,
	completed INTEGER NOT NULL,
	failed INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	sent_at INTEGER,
	looked_at INTEGER,
	ended_at INTEGER,
	PRIMARY KEY (id),
	UNIQUE (mark),
	FOREIGN KEY(teacher_id) REFERENCES teacher (id),
	FOREIGN KEY(boot_id) REFERENCES boot (id)
) STRICT;

CREATE INDEX batch_by_state ON batch (teacher_id, state);

CREATE TABLE batch_attempt (
	attempt_id INTEGER NOT NULL,
	batch_id INTEGER NOT NULL,
	PRIMARY KEY (attempt_id),
	FOREIGN KEY(attempt_id) REFERENCES attempt (id),
	FOREIGN KEY(batch_id) REFERENCES batch (id)
)
 WITHOUT ROWID, STRICT;

CREATE INDEX attempts_of_batch ON batch_attempt (batch_id);

CREATE TABLE completion (
	attempt_id INTEGER NOT NULL,
	raw BLOB NOT NULL,
	size INTEGER NOT NULL,
	finish_reason TEXT,
	received_at INTEGER NOT NULL,
	PRIMARY KEY (attempt_id),
	FOREIGN KEY(attempt_id) REFERENCES attempt (id)
) STRICT;

CREATE TABLE logprob (
	attempt_id INTEGER NOT NULL,
	tokens INTEGER NOT NULL,
	mean REAL NOT NULL,
	data BLOB NOT NULL,
	PRIMARY KEY (attempt_id),
	FOREIGN KEY(attempt_id) REFERENCES attempt (id)
) STRICT;

CREATE TABLE grade (
	id INTEGER NOT NULL,
	sample_id INTEGER NOT NULL,
	grader TEXT NOT NULL,
	correct INTEGER NOT NULL,
	extracted TEXT,
	reason TEXT NOT NULL,
	flags TEXT NOT NULL,
	graded_at INTEGER NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (sample_id, grader),
	FOREIGN KEY(sample_id) REFERENCES sample (id)
) STRICT;

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

CREATE TABLE run (
	id INTEGER NOT NULL,
	student TEXT NOT NULL,
	task_id INTEGER,
	scope TEXT NOT NULL,
	"trigger" TEXT NOT NULL,
	recipe TEXT NOT NULL,
	state TEXT NOT NULL,
	method TEXT NOT NULL,
	base TEXT NOT NULL,
	seed INTEGER NOT NULL,
	zero_stage INTEGER NOT NULL,
	spec TEXT NOT NULL,
	digest TEXT NOT NULL,
	samples INTEGER NOT NULL,
	questions INTEGER NOT NULL,
	drops TEXT NOT NULL,
	directory TEXT NOT NULL,
	device TEXT NOT NULL,
	pid INTEGER,
	pid_started REAL,
	boot_id INTEGER,
	tries INTEGER NOT NULL,
	priority INTEGER NOT NULL,
	phase TEXT NOT NULL,
	step INTEGER NOT NULL,
	steps INTEGER NOT NULL,
	loss REAL,
	tokens_per_second REAL,
	eta_s REAL,
	accuracy REAL,
	progress_offset INTEGER NOT NULL,
	error TEXT,
	created_at INTEGER NOT NULL,
	started_at INTEGER,
	ended_at INTEGER,
	kind TEXT DEFAULT 'train' NOT NULL,
	figures TEXT DEFAULT '{}' NOT NULL,
	parameters INTEGER,
	bytes INTEGER,
	train_flops REAL,
	PRIMARY KEY (id),
	UNIQUE (student, scope, "trigger", recipe),
	FOREIGN KEY(task_id) REFERENCES task (id),
	FOREIGN KEY(boot_id) REFERENCES boot (id)
) STRICT;

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

CREATE TABLE run_sample (
	run_id INTEGER NOT NULL,
	sample_id INTEGER NOT NULL,
	PRIMARY KEY (run_id, sample_id),
	FOREIGN KEY(run_id) REFERENCES run (id),
	FOREIGN KEY(sample_id) REFERENCES sample (id)
)
 WITHOUT ROWID, STRICT;

CREATE TABLE run_label (
	run_id INTEGER NOT NULL,
	question_id INTEGER NOT NULL,
	answer TEXT NOT NULL,
	votes INTEGER NOT NULL,
	voters INTEGER NOT NULL,
	PRIMARY KEY (run_id, question_id),
	FOREIGN KEY(run_id) REFERENCES run (id),
	FOREIGN KEY(question_id) REFERENCES question (id)
)
 WITHOUT ROWID, STRICT;

CREATE TABLE metric (
	run_id INTEGER NOT NULL,
	step INTEGER NOT NULL,
	at INTEGER NOT NULL,
	epoch REAL NOT NULL,
	loss REAL NOT NULL,
	learning_rate REAL NOT NULL,
	grad_norm REAL,
	tokens_per_second REAL,
	mfu REAL,
	memory_mb REAL,
	extra TEXT,
	PRIMARY KEY (run_id, step),
	FOREIGN KEY(run_id) REFERENCES run (id)
)
 WITHOUT ROWID, STRICT;

CREATE TABLE evaluation (
	id INTEGER NOT NULL,
	run_id INTEGER NOT NULL,
	task_id INTEGER NOT NULL,
	split TEXT NOT NULL,
	step INTEGER NOT NULL,
	epoch REAL NOT NULL,
	n INTEGER NOT NULL,
	correct INTEGER NOT NULL,
	accuracy REAL NOT NULL,
	low REAL NOT NULL,
	high REAL NOT NULL,
	seed INTEGER NOT NULL,
	at INTEGER NOT NULL,
	majority_of INTEGER,
	majority REAL,
	correct_format REAL,
	complete REAL,
	repetitions TEXT,
	prompt_tokens INTEGER,
	completion_tokens INTEGER,
	flops REAL,
	seconds REAL,
	formats TEXT,
	PRIMARY KEY (id),
	UNIQUE (run_id, task_id, split, step),
	FOREIGN KEY(run_id) REFERENCES run (id),
	FOREIGN KEY(task_id) REFERENCES task (id)
) STRICT;

CREATE TABLE prediction (
	run_id INTEGER NOT NULL,
	question_id INTEGER NOT NULL,
	split TEXT NOT NULL,
	text TEXT NOT NULL,
	extracted TEXT,
	correct INTEGER NOT NULL,
	reason TEXT NOT NULL,
	checksum INTEGER,
	prompt_tokens INTEGER,
	tokens INTEGER,
	flops REAL,
	PRIMARY KEY (run_id, question_id),
	FOREIGN KEY(run_id) REFERENCES run (id),
	FOREIGN KEY(question_id) REFERENCES question (id)
) STRICT;

CREATE INDEX prediction_unchecked ON prediction (run_id) WHERE checksum IS NULL;
