import sys

sys.exit("no mail server \033[31mhere")
