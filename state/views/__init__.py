"""Every reading query: what `coterie status`, the report and the monitor show.

    rows                 short snapshots, rows as tuples
    status               the status, from counters: it costs the same for any number of samples
    status_records       its records
    status_text          its form as text; status_json: as JSON
    triggers             what the next student waits for
    alerts               problems that need you, with reason and remedy
    costs                what plans spent
    format               numbers as text, and the status in one line
    samples              samples by primary key, filtered; one sample in full
    search               full-text search, with and without the index
    teacher_counts       correct samples of each teacher
    task_texts           what the newest samples of a task are like: tokens, teachers, diversity
    experiment_progress  progress of plans and students, by name
    runs                 student runs, their metrics, evaluations, predictions
    events               events, newest first
    commands             answers to commands

All take an open read-only connection and hold no transaction when they return. They return frozen
dataclasses with the text as it is stored: pass it through `state.safe` before you show it.
"""
