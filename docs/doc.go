// Package docs holds the documents of the server that the server itself serves. Its tests
// compare the documents with the code and with running servers.
package docs

import _ "embed" // for OpenAPI

// OpenAPI describes the calls of both ports, in YAML.
//
//go:embed openapi.yaml
var OpenAPI []byte
