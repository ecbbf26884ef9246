// Package dashboard has the files of the admin port's page. They are served as they are:
// there is no build step, and nothing is loaded from another site.
//
// The package must not know the server, which calls Files once, at the start.
package dashboard
