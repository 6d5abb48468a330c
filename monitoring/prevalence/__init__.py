"""What people's labels of a sample say of all traffic: prevalence, precision, recall, agreement."""
