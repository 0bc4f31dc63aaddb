"""The model as the options show it: ports, cuts, stems, whole tracks."""
