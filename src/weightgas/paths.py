"""The paths, where version 0.1 had them."""

raise ImportError("weightgas.paths is weightgas.driving.paths since 0.2: from weightgas import paths gives it.")
