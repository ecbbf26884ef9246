package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// flagError says in our words what is wrong with a flag.
func flagError(cmd *cobra.Command, err error) error {
	help := "; see " + cmd.CommandPath() + " --help"
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		name := unknown.GetSpecifiedName()
		if shorthand := unknown.GetSpecifiedShortnames(); shorthand != "" {
			return fmt.Errorf("there is no flag -%s%s", name, help)
		}
		return fmt.Errorf("there is no flag --%s%s", name, help)
	}
	if missing, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return fmt.Errorf("--%s: want %s", missing.GetFlag().Name, wanted(missing.GetFlag()))
	}
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return fmt.Errorf("--%s %q: want %s", invalid.GetFlag().Name, invalid.GetValue(), wanted(invalid.GetFlag()))
	}
	if syntax, ok := errors.AsType[*pflag.InvalidSyntaxError](err); ok {
		return fmt.Errorf("%s is not how a flag is written%s", syntax.GetSpecifiedFlag(), help)
	}
	return err
}

// wanted describes the values of a flag.
func wanted(f *pflag.Flag) string {
	switch f.Value.Type() {
	case "int", "int64":
		return "a whole number"
	case "duration":
		return "a time with its unit, like 90s or 5m"
	case "bool":
		return "true or false"
	}
	return "a value"
}

// noArgument refuses arguments: of a command that has others below it, an unknown one.
func noArgument(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !cmd.HasSubCommands() {
		return fmt.Errorf("%q is too much: %s has no arguments, only flags; see --help", args[0], cmd.CommandPath())
	}
	text := fmt.Sprintf("there is no command %q", args[0])
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += ", did you mean " + strings.Join(near, " or ") + "?"
	}
	return errors.New(text + " (" + cmd.CommandPath() + " --help lists them)")
}

func oneChannel(_ *cobra.Command, args []string) error {
	switch len(args) {
	case 0:
		return errors.New("which channel? It is the argument that is missing; see --help")
	case 1:
		return nil
	}
	return fmt.Errorf("one channel only; %q is too much (quote a name with spaces)", args[1])
}

func someChannels(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return nil
	}
	return oneChannel(cmd, args)
}

func oneChannelAtMost(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return oneChannel(cmd, args)
}

// exclusive refuses a flag that is given together with one of others.
func exclusive(cmd *cobra.Command, flag string, others ...string) error {
	if !cmd.Flags().Changed(flag) {
		return nil
	}
	for _, other := range others {
		if cmd.Flags().Changed(other) {
			return fmt.Errorf("--%s and --%s do not go together", flag, other)
		}
	}
	return nil
}

// inOurWords makes the commands that cobra adds, help and completion, refuse what they do
// not know, as all others do. It comes after root.SetOut, which completion remembers.
func inOurWords(root *cobra.Command) {
	root.SetFlagErrorFunc(flagError)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd("completion")
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "help":
			cmd.RunE = func(_ *cobra.Command, args []string) error {
				of, rest, err := root.Find(args)
				if err != nil || len(rest) > 0 {
					return noArgument(of, rest)
				}
				return of.Help()
			}
		case "completion":
			cmd.Args = noArgument
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
			for _, shell := range cmd.Commands() {
				shell.Args = noArgument
			}
		}
	}
}
