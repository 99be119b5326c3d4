"""What crosses subsystems: values, slots, threads and errors. Imports nothing of ours."""
