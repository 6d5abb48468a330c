"""The programs that make up the product on one machine: started, watched and stopped as one."""
