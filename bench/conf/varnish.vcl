vcl 4.1;
backend default { .host = "127.0.0.1"; .port = "@ORIGIN@"; }
# What is never stored is not looked up either, as one would write it for a known part of a site.
sub vcl_recv { if (req.url ~ "^/fresh/") { return (pass); } }
