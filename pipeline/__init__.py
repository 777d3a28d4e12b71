"""Everything from pictures to a served model: data, networks, training, `growgan` commands."""
