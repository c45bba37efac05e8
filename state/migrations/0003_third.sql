-- What may have been billed is counted apart from what was: it used to be part of what was spent.
ALTER TABLE teacher ADD COLUMN unknown_micros INTEGER DEFAULT 0 NOT NULL;
ALTER TABLE plan ADD COLUMN unknown_micros INTEGER DEFAULT 0 NOT NULL;
ALTER TABLE attempt ADD COLUMN unknown_micros INTEGER DEFAULT 0 NOT NULL;

UPDATE attempt SET unknown_micros = cost_micros, cost_micros = 0
 WHERE outcome = 'unknown' OR (outcome = 'malformed' AND estimated = 1);

UPDATE sample SET cost_micros = cost_micros - t.micros
 FROM (SELECT sample_id, sum(unknown_micros) micros FROM attempt WHERE unknown_micros > 0 GROUP BY 1) t
 WHERE sample.id = t.sample_id;
UPDATE teacher SET unknown_micros = t.micros, spent_micros = spent_micros - t.micros
 FROM (SELECT teacher_id, sum(unknown_micros) micros FROM attempt WHERE unknown_micros > 0 GROUP BY 1) t
 WHERE teacher.id = t.teacher_id;
UPDATE plan SET unknown_micros = min(t.micros, spent_micros), spent_micros = spent_micros - min(t.micros, spent_micros)
 FROM (SELECT s.plan_id, sum(a.unknown_micros) micros FROM attempt a JOIN sample s ON s.id = a.sample_id
 WHERE a.unknown_micros > 0 GROUP BY 1) t
 WHERE plan.id = t.plan_id;
