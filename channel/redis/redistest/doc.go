// Package redistest starts Debian's redis-server for tests: on free ports, each in its
// own directory, ended with the test. It must not know the engine that is tested. Tests
// call it; methods that take no t fail the test that started the server.
package redistest
