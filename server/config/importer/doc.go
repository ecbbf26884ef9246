// Package importer turns the configuration of an original iComet server (C++, 0.2) into one
// of this server. It reads the text and writes text: it opens no file and asks no network.
package importer
