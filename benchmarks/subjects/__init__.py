"""
What is measured: each module is one process, and the last line that it prints are its figures as JSON.

They are processes of their own, since imports, threads and peak memory of one would count for the next.
"""
