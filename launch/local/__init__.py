"""Jobs as processes of this machine: started, supervised, followed."""
