# update.awk -- lets an update script take from the rooms what they say.
#
#   @new ROOM@            all of a room that is new
#   @new ROOM NAME@       what the room says of the new NAME: a function with its
#                         comment, anything else up to an empty line
#   @changed ROOM NAME@   the function as it is now, in place of the old one

# begins says whether a line creates NAME.
function begins(line, name) {
    return line ~ /^CREATE (FUNCTION|VIEW|TABLE|TYPE|SEQUENCE) / && index(line " ", "@extschema@." name (line ~ /FUNCTION|TYPE/ ? "(" : " "))
}

# ends says whether a line is the last one of NAME.
function ends(line, replace) {
    if (replace)
        return line ~ /^(END;|\$\$;|AS .*;)$/
    is_function = is_function || line ~ /^CREATE FUNCTION/
    is_comment = is_comment || line ~ /^COMMENT ON FUNCTION/
    return is_function ? is_comment && line ~ /';$/ : line == ""
}

# copy prints what ROOM says of NAME, or all it says.
function copy(room, name, replace,    file, line, inside, found) {
    file = "sql/" room ".sql"
    is_function = is_comment = 0
    while ((getline line < file) > 0) {
        if (!inside && (name == "" || begins(line, name))) {
            inside = found = 1
            if (replace)
                sub(/^CREATE /, "CREATE OR REPLACE ", line)
        }
        if (!inside)
            continue
        print line
        if (name != "" && ends(line, replace))
            break
    }
    close(file)
    if (!found) {
        print FILENAME ": " file " does not create \"" name "\"" > "/dev/stderr"
        exit 1
    }
    print ""
}

/^@(new|changed) .*@$/ {
    gsub(/@/, "")
    copy($2, $3, $1 == "changed")
    next
}
{ print }
