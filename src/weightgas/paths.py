"""The place of the paths in version 0.1."""

raise ImportError("weightgas.paths is weightgas.driving.paths since 0.2: from weightgas import paths gives it.")
