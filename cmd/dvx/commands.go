package main

import "github.com/spf13/cobra"

// group is a part of the help: what commands are for, and their constructors.
type group struct {
	title        string
	constructors []func(*app) *cobra.Command
}

// groups lists all commands, in the order of the help.
func groups() []group {
	return []group{
		{"Start:", []func(*app) *cobra.Command{cmdDemo, cmdInit, cmdServe, cmdAuth}},
		{"Work in a directory:", []func(*app) *cobra.Command{cmdStatus, cmdCommit, cmdCheckout, cmdDiff}},
		{"Look at versions:", []func(*app) *cobra.Command{cmdLog, cmdShow, cmdLs, cmdCat, cmdGet, cmdReflog}},
		{"Change versions without a working copy:", []func(*app) *cobra.Command{cmdPut, cmdRm, cmdSeal, cmdUndo, cmdImport, cmdMirror}},
		{"Repos and branches:", []func(*app) *cobra.Command{cmdRepo, cmdBranch, cmdTag, cmdRetention}},
		{"Run pipelines:", []func(*app) *cobra.Command{cmdPipeline, cmdDefaults, cmdEnv, cmdPlan, cmdRun, cmdWait, cmdCache}},
		{"See what ran, and why:", []func(*app) *cobra.Command{cmdJob, cmdDatum, cmdLogs, cmdEvents, cmdDag, cmdWhy, cmdLineage}},
		{"Look after a store:", []func(*app) *cobra.Command{cmdGC, cmdFsck, cmdPurge, cmdRebuildIndex, cmdHeal, cmdRepair, cmdRecover}},
	}
}

// addCommands adds all commands to the root.
func (a *app) addCommands(root *cobra.Command) {
	for _, g := range groups() {
		root.AddGroup(&cobra.Group{ID: g.title, Title: g.title})
		for _, constructor := range g.constructors {
			cmd := constructor(a)
			cmd.GroupID = g.title
			root.AddCommand(cmd)
		}
	}
	root.AddCommand(cmdVersion(a))
}
