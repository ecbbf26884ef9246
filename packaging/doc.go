// Package packaging has no code: its tests hold the packages, the container image and the
// examples for platforms to what the server does.
package packaging
