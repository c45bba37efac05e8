-- Panels: plans whose teachers hear each other, and tasks whose questions have no gold answers.
ALTER TABLE "plan" ADD COLUMN panel TEXT DEFAULT '' NOT NULL;
ALTER TABLE "plan" ADD COLUMN member INTEGER DEFAULT 0 NOT NULL;
ALTER TABLE task ADD COLUMN labelled INTEGER DEFAULT 1 NOT NULL;
ALTER TABLE attempt ADD COLUMN answer TEXT;
