-- How the answers of a student ended, and the accuracy of each repetition of the sampled ones.
ALTER TABLE evaluation ADD COLUMN correct_format REAL;
ALTER TABLE evaluation ADD COLUMN complete REAL;
ALTER TABLE evaluation ADD COLUMN repetitions TEXT;
