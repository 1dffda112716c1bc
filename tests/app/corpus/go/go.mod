module example.org/acme/podlike/v6

go 1.19
