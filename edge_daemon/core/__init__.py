"""What all packages share: values, slots, threads, files and errors; imports no other."""
