-- What a student costs: its size, the FLOPs of its training and of its answers, and the tokens that it reads and writes.
ALTER TABLE run ADD COLUMN parameters INTEGER;
ALTER TABLE run ADD COLUMN bytes INTEGER;
ALTER TABLE run ADD COLUMN train_flops REAL;
ALTER TABLE evaluation ADD COLUMN prompt_tokens INTEGER;
ALTER TABLE evaluation ADD COLUMN completion_tokens INTEGER;
ALTER TABLE evaluation ADD COLUMN flops REAL;
ALTER TABLE evaluation ADD COLUMN seconds REAL;
ALTER TABLE prediction ADD COLUMN prompt_tokens INTEGER;
ALTER TABLE prediction ADD COLUMN tokens INTEGER;
ALTER TABLE prediction ADD COLUMN flops REAL;
