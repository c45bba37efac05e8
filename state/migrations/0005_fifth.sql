-- A database has an identity. That of an older one is made from its first session, so its copies and backups have the same.
CREATE TABLE identity (
	id INTEGER NOT NULL,
	"database" TEXT NOT NULL,
	PRIMARY KEY (id)
) STRICT;

INSERT INTO identity (id, "database") VALUES (
 1, coalesce((SELECT printf('%016x%016x', started_at, pid) FROM boot ORDER BY id LIMIT 1), lower(hex(randomblob(16))))
);
