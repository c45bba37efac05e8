-- Accuracy in each further format that a student was trained in.
ALTER TABLE evaluation ADD COLUMN formats TEXT;
