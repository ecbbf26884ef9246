package access

import "icomet/httpparse"

// Visit says whether a person goes to an address: by a link on any page, a bookmark, or by
// typing it. The page with the link cannot read what is shown, and can only choose the
// address. So a visit may show things, but do nothing. A page cannot forge what its browser
// says about a request.
func Visit(r *httpparse.Request) bool {
	return (r.Method == httpparse.GET || r.Method == httpparse.HEAD) &&
		only(r, "sec-fetch-mode", "navigate") && only(r, "sec-fetch-dest", "document")
}

// only says whether a field is there once, with this value.
func only(r *httpparse.Request, lowerName, value string) bool {
	found := false
	for i := range r.Fields {
		f := &r.Fields[i]
		if !equalFoldASCII(f.Name, lowerName) {
			continue
		}
		if found || string(f.Value) != value {
			return false
		}
		found = true
	}
	return found
}

// OfForeignOrigin says whether a request is refused only because a page of another site is
// behind it.
func OfForeignOrigin(refusal string) bool { return refusal == textForeignOrigin }
