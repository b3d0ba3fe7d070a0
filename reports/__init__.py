"""Tables, figures and the HTML page, drawn from result tables. Names below are within ``facesr``.

``scores = facesr.reports.scores.open_runs([folder])`` reads the cells of a run (or of several of one digest); ``scores.only(methods=, metrics=,
scales=, faces=)`` and ``reports.build.faces_where(scores, gender="female")`` narrow them.

- ``reports.scores.Scores``: ``values(metric, scale)`` and ``statuses(metric, scale)`` are faces x methods; ``cells()`` the leaderboard's cells;
  ``column(metric)`` label, arrow, unit, conventions; ``attributes``; ``owner[method]`` the run and its label there (for ``sr_path``).
- ``reports.build``: data frames. ``leaderboard_frame`` (interval, n, failed, rank, letters), ``face_table`` (per face, with disagreement),
  ``duel`` (two methods, paired), ``attribute_frame``, ``sweep_frame``, ``epsilon_frame``, ``failures``.
- ``reports.mos``: ``open_study(path)`` analyses a study and refuses before its stopping rule; ``table_one``, ``mos_table``, ``pairs_table``.
- ``reports.people``: ``against_people(scores, study)`` judges every metric by a study's people; ``agreement_table``; ``sentences`` begins with
  which metric to trust.
- ``reports.choose``: ``table_of`` and ``print_table``, what ``facesr table`` does. ``reports.figures``: each function gives a ``Drawing`` with
  ``png()``, ``svg()``, ``inline_svg()``, ``pdf()``. ``reports.figures.grid.choose_faces`` picks faces, ``qualitative`` draws the grid.
- ``reports.gather.gather`` makes a whole report; ``reports.page.page`` and ``reports.paper.write_paper`` arrange it.
"""
