-- A question whose gold answer cannot be read is stored with the reason, and not used.
ALTER TABLE question ADD COLUMN unreadable TEXT DEFAULT '' NOT NULL;
ALTER TABLE task ADD COLUMN unreadable INTEGER DEFAULT 0 NOT NULL;
