"""The module of version 0.1 for paths: importing it raises an error that names the present one."""

raise ImportError("weightgas.paths is weightgas.driving.paths since 0.2: from weightgas import paths gives it.")
