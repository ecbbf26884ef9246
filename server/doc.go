// Package server puts the parts together: New, Run, Reload and Shutdown, the table of
// paths, and the endpoints of both ports, one short file each.
//
// Below it are the rooms: reactor (connections and event loops), wire (the bytes that go
// out), access (who may do what), config (the configuration) and monitor (what an
// operator sees). It knows nothing of gnet, sockets or event loops: an endpoint gets a
// request and answers through the methods of reactor.Conn.
//
// Endpoints run on the event loop of the connection, so they must not block. The other
// methods of Server run on any goroutine. DESIGN.md shows the rooms and the flows.
package server
