"""Students as teachers: the servers of students that plans ask."""
