"""One module a revision. Each is what was true then: a later change of tables or rules is a module of its own."""
