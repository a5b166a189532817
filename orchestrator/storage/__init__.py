"""The job index: SQL tables, one repository per aggregate, migrations."""
