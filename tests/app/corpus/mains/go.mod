module example.org/acme/tools
