// Package snapshot carries the channels of a memory engine over a restart, in one file.
//
// A Store is that file, held by one process. Load fills a new hub from it before the server
// listens; Remove then takes the file away before anybody can publish; Save writes it when
// nobody can publish any more. So at any time there is either no file, or one that says
// exactly how the channels stand: a file that is there is never older than what somebody was
// told.
//
// format.go has the bytes. It must not know sockets, HTTP, logs or who uses it.
package snapshot
