-- What a run reports at a step besides: the weights of teachers, where it selects among them.
ALTER TABLE metric ADD COLUMN extra TEXT;
